// What /docs and /redoc run: their policy allows no script within a page.

const page = document.querySelector("main");

function showDocs() {
  const statePlugins = {
    auth: { wrapActions: { authorizeWithPersistOption } },
    spec: { wrapActions: { updateJsonSpec } },
  };
  const button = document.querySelector("#take-token");
  const ui = SwaggerUIBundle({
    url: "openapi.json",
    domNode: page,
    deepLinking: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (request.headers?.accept === "text/event-stream") request.userFetch = fetchBeginning;
      return request;
    },
    plugins: [{ statePlugins }],
    onComplete: () => (button.disabled = false),
  });
  new MutationObserver(nameControls).observe(page, { childList: true, subtree: true });
  button.addEventListener("click", () => takeToken(ui, document.querySelector("output")));
}

/** The document with the token's user in place of alice, so that their operations work as they stand. */
function updateJsonSpec(update) {
  return (document) => {
    const text = JSON.stringify(document);
    const user = `"example":${JSON.stringify(tokenUser())}`;
    update(JSON.parse(text.replaceAll('"example":"alice"', () => user)));
  };
}

function authorizeWithPersistOption(authorize, ui) {
  return (authorization) => {
    authorize(authorization);
    ui.specActions.download();
  };
}

function tokenUser() {
  try {
    const [, claims] = JSON.parse(localStorage.getItem("authorized")).bearer.value.split(".");
    const bytes = Uint8Array.from(atob(claims.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const { sub, user_id } = JSON.parse(new TextDecoder().decode(bytes));
    return sub ?? user_id ?? "alice";
  } catch {
    return "alice"; // no token yet
  }
}

/** A stream has no end, for which Swagger UI would wait: what comes in its first seconds. */
async function fetchBeginning(url, options) {
  const response = await fetch(url, options);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  setTimeout(() => reader.cancel(), 2000);
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  return new Response(text, response);
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
else Redoc.init("openapi.json", { nativeScrollbars: true }, page);
