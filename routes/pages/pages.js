// What /docs and /redoc run: their policy allows no script within a page.

const page = document.querySelector("main");

function showReference() {
  Redoc.init("openapi.json", { nativeScrollbars: true }, page);
}

function showDocs() {
  const button = document.querySelector("#take-token");
  const ui = SwaggerUIBundle({
    url: "openapi.json",
    domNode: page,
    deepLinking: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    onComplete: () => (button.disabled = false),
  });
  new MutationObserver(nameControls).observe(page, { childList: true, subtree: true });
  button.addEventListener("click", () => takeToken(ui, document.querySelector("output")));
}

/** Swagger UI leaves these without a name for people who listen to the page. */
function nameControls() {
  const nameless = (selector) => page.querySelectorAll(`${selector}:not([aria-label])`);
  const name = (control, text) => control.setAttribute("aria-label", text);
  for (const control of nameless("#servers")) name(control, "Server");
  for (const control of nameless("textarea")) name(control, "Body");
  for (const control of nameless(".copy-to-clipboard button")) name(control, "Copy");
  for (const control of nameless("[data-param-name] select")) {
    name(control, control.closest("[data-param-name]").dataset.paramName);
  }
}

async function takeToken(ui, message) {
  const response = await fetch("docs/token", { method: "POST" });
  const answer = await response.json();
  if (response.ok) {
    const schema = ui.specSelectors.securityDefinitions().get("bearer");
    ui.authActions.authorizeWithPersistOption({ bearer: { name: "bearer", schema, value: answer.token } });
  }
  message.textContent = response.ok ? "You are alice, for a day. Open an operation and execute it." : answer.detail;
}

if (document.querySelector("header")) showDocs();
else showReference();
