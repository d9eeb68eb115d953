/** Search of a symbol: a combobox with a listbox, as in the ARIA Authoring Practices. */

import { byId, el, say } from "./dom.js";
import { shortName } from "./format.js";

const DEBOUNCE_MS = 150;

/**
 * Let a search box of the page work.
 *
 * @param prefix - Of the ids of its elements: "" for that at the top of the page.
 * @param find - Gives {symbols, total, similar} for a text, and takes a signal.
 * @param choose - Is called with the symbol that was chosen.
 * @param fail - Is called with what `find` rejected with.
 * @returns A function that puts a symbol into the box.
 */
export function searchBox(prefix, find, choose, fail) {
  const input = byId(`${prefix}query`);
  const popup = byId(`${prefix}popup`);
  const list = byId(`${prefix}found`);
  let timer = null;
  let asking = new AbortController();
  let active = -1;
  let put = null;

  function close() {
    clearTimeout(timer);
    // An answer that is still on its way must not open the list again.
    asking.abort();
    popup.hidden = true;
    input.setAttribute("aria-expanded", "false");
    activate(-1);
  }

  function activate(index) {
    const options = [...list.children];
    active = index;
    options.forEach((option, place) => option.setAttribute("aria-selected", String(place === index)));
    if (index < 0) input.removeAttribute("aria-activedescendant");
    else {
      input.setAttribute("aria-activedescendant", options[index].id);
      options[index].scrollIntoView({ block: "nearest" });
    }
  }

  function take(symbol) {
    close();
    input.value = symbol;
    choose(symbol);
  }

  async function ask(text) {
    asking.abort();
    const mine = (asking = new AbortController());
    try {
      return await find(text, mine.signal);
    } catch (error) {
      if (!mine.signal.aborted) {
        close();
        fail(error);
      }
      return null;
    }
  }

  async function open() {
    clearTimeout(timer);
    const text = input.value.trim();
    const answer = await ask(text);
    if (!answer) return false;
    showFound(answer, text);
    return true;
  }

  function showFound(answer, text) {
    const found = [...answer.symbols, ...similarTo(answer)];
    list.replaceChildren(...found.map((one, place) => option(one, `${prefix}found-${place}`, take)));
    tellRest(byId(`${prefix}more`), answer, text);
    popup.hidden = false;
    input.setAttribute("aria-expanded", String(found.length > 0));
    activate(-1);
  }

  async function move(step) {
    if (popup.hidden && !(await open())) return;
    const count = list.children.length;
    if (count) activate((active + step + count + (active < 0 && step < 0 ? 1 : 0)) % count);
  }

  /**
   * Enter takes the option that is marked, else the symbol as typed, else the best match. Of those
   * that are only similar it takes the first once they are listed.
   */
  async function enter() {
    if (!popup.hidden && active >= 0) return take(list.children[active].dataset.symbol);
    const text = input.value.trim();
    if (!text) return;
    clearTimeout(timer);
    const answer = await ask(text);
    if (!answer) return;
    const found = answer.symbols.map(({ symbol }) => symbol);
    const [similar] = similarTo(answer);
    if (!found.length && similar) return popup.hidden ? showFound(answer, text) : take(similar.symbol);
    // Two symbols may differ by case alone: the one that was typed comes first.
    const same = found.find((symbol) => symbol === text) ?? found.find((symbol) => isAlike(symbol, text));
    take(same ?? found[0] ?? text);
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    asking.abort();
    if (input.value.trim()) timer = setTimeout(open, DEBOUNCE_MS);
    else close();
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const act = {
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      Enter: enter,
      Escape: () => (popup.hidden ? (input.value = "") : close()),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", close);
  // A press on the list would take the focus from the box, and so close the list before the click.
  popup.addEventListener("pointerdown", (event) => event.preventDefault());
  popup.addEventListener("mousedown", (event) => event.preventDefault());

  return (symbol) => {
    // Put once: what has been typed since then is for another search.
    if (symbol === put) return;
    put = symbol;
    close();
    input.value = symbol;
  };
}

const isAlike = (symbol, text) => symbol.trim().toLowerCase() === text.toLowerCase();

/** Not every answer has them. */
const similarTo = ({ similar = [] }) => similar;

function option(found, id, take) {
  return el(
    "li",
    {
      id,
      role: "option",
      "aria-selected": "false",
      "data-symbol": found.symbol,
      onclick: () => take(found.symbol),
    },
    el("span", { class: "symbol" }, found.symbol),
    " ",
    el("span", { class: "name" }, shortName(found.security_name)),
    found.etf ? el("span", { class: "tag" }, "ETF") : null,
  );
}

function tellRest(more, answer, text) {
  const { symbols, total } = answer;
  const similar = similarTo(answer).length;
  const rest = total - symbols.length;
  if (!symbols.length) more.textContent = `No symbol or name matches “${text}”${similar ? "; these are similar." : "."}`;
  else more.textContent = rest > 0 ? `${rest} more: type on to narrow them down.` : "";
  more.hidden = !more.textContent;
  const listed = `${total} found, ${symbols.length} listed${similar ? `, and ${similar} similar` : ""}.`;
  say(symbols.length ? listed : more.textContent);
}
