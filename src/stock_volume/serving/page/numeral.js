/** Numbers, as people type them. */

const THOUSANDS = /^([+-]?\d{1,3})((?:,\d{3})+)(\.\d*)?$/;
const NUMERAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/** Read what was typed: {value} as the service takes it, or a {message} that says what is wrong. */
export function readNumber(text) {
  const typed = text.replace(/[\s$]/g, "");
  if (!typed) return { message: "Enter a number." };
  const value = THOUSANDS.test(typed) ? typed.replaceAll(",", "") : typed;
  if (value.includes(",")) {
    return { message: "Write a point before decimals, and commas only between thousands: 1,234,567.89" };
  }
  if (!NUMERAL.test(value)) return { message: "This is not a number. Write it as 1,234,567.89 or 1234567.89" };
  if (Number(value) < 0) return { message: "Must be 0 or more." };
  return { value };
}
