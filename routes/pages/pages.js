// What /docs and /redoc run: their policy allows no script within a page.

const page = document.querySelector("main");
const ORDER = ["post", "get", "put", "patch", "delete"]; // made first and deleted last, so that all have a task

function showDocs() {
  const statePlugins = {
    auth: { wrapActions: { authorizeWithPersistOption: fresh, logoutWithPersistOption: fresh, restoreAuthorization } },
    spec: { wrapActions: { updateJsonSpec } },
  };
  const button = document.querySelector("#take-token");
  const message = document.querySelector("output");
  const invitation = message.textContent;
  const ui = SwaggerUIBundle({
    url: "openapi.json",
    domNode: page,
    deepLinking: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    operationsSorter: (a, b) => ORDER.indexOf(a.get("method")) - ORDER.indexOf(b.get("method")),
    requestInterceptor: (request) => {
      if (request.headers?.accept === "text/event-stream") request.userFetch = fetchBeginning;
      return request;
    },
    responseInterceptor: async (response) => {
      if ([201, 204].includes(response.status) || response.body?.deleted) await aim(ui).catch(() => {}); // a new newest
      return response;
    },
    plugins: [{ statePlugins }],
    onComplete: async () => {
      button.disabled = false;
      const user = await aim(ui).catch(() => {}); // then the examples stay
      message.textContent = user ? `You are ${user}. Open an operation and execute it.` : invitation;
    },
  });
  new MutationObserver(nameControls).observe(page, { childList: true, subtree: true });
  button.addEventListener("click", () => takeToken(ui, message));
}

/** The document with the token's user in place of alice, so that their operations work as they stand. */
const updateJsonSpec = (update, ui) => (document) => {
  const user = `"example":${JSON.stringify(userOf(tokenOf(ui)) ?? "alice")}`;
  update(JSON.parse(JSON.stringify(document).replaceAll('"example":"alice"', () => user)));
};

/** Whoever comes or goes, what the page shows is theirs. */
const fresh = (change, ui) => (authorization) => {
  change(authorization);
  ui.specActions.download();
};

/** Swagger UI takes whatever is stored, and can't live with all of it. */
const restoreAuthorization = (restore) => (stored) => {
  if (typeof stored.authorized?.bearer?.value === "string") restore(stored);
};

const tokenOf = (ui) => ui.authSelectors.authorized().getIn(["bearer", "value"]);

function userOf(token) {
  try {
    const [, claims] = token.split(".");
    const bytes = Uint8Array.from(atob(claims.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const { sub, user_id } = JSON.parse(new TextDecoder().decode(bytes));
    return sub ?? user_id;
  } catch {
    return undefined; // there is none, or it can't be read
  }
}

/** What takes a task's id gets that of the newest. Returns the user, where the token is good. */
async function aim(ui) {
  const token = tokenOf(ui);
  const user = userOf(token);
  if (!user) return;
  const address = `api/${encodeURIComponent(user)}/tasks?limit=1&sort=-created_at`;
  const response = await fetch(address, { headers: { Authorization: `Bearer ${token}` } });
  if (!response.ok) return;
  const [newest] = await response.json();
  if (!newest) return user;
  for (const [path, operations] of ui.specSelectors.specJson().get("paths").entrySeq()) {
    for (const [method, operation] of operations.entrySeq()) {
      for (const parameter of operation.get("parameters") ?? []) {
        if (!["task_id", "ids"].includes(parameter.get("name"))) continue;
        ui.specActions.changeParamByIdentity([path, method], parameter, String(newest.id), false);
      }
    }
  }
  return user;
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
  try {
    const response = await fetch("docs/token", { method: "POST" });
    const { token, detail } = await response.json();
    if (!response.ok) throw new Error(detail);
    const schema = ui.specSelectors.securityDefinitions().get("bearer");
    ui.authActions.authorizeWithPersistOption({ bearer: { name: "bearer", schema, value: token } });
  } catch (error) {
    message.textContent = `There is no token to be had: ${error.message}`;
  }
}

if (document.querySelector("header")) showDocs();
else Redoc.init("openapi.json", { nativeScrollbars: true }, page);
