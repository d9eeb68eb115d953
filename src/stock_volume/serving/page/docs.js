// All addresses are relative to the page, so that it works below a prefix, too.
const answer = await fetch("openapi.json");
const spec = await answer.json();
spec.servers = [{ url: new URL(".", location.href).href.replace(/\/$/, "") }];

SwaggerUIBundle({
  spec,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null, // it would ask another host
});
