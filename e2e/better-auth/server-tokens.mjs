// Tokens that the frontend's server gets from Better Auth without a request: node server-tokens.mjs <user id> <cookie>.
import { createJwk } from "better-auth/plugins";

import { auth } from "./auth.mjs";

const [userId, cookie] = process.argv.slice(2);
const context = await auth.$context;

// What a server component or a route handler of Next.js calls: getToken({ headers: await headers() }).
const { token } = await auth.api.getToken({ headers: new Headers({ cookie }) });
const tokens = { getToken: token };

// signJWT signs just what it is given: these tokens have no iat.
for (const alg of ["EdDSA", "ES256", "ES512", "RS256", "PS256"]) {
  const options = { jwks: { keyPairConfig: { alg } } };
  if (alg !== "EdDSA") await createJwk({ context }, options);
  const signed = await auth.api.signJWT({ body: { payload: { sub: userId }, overrideOptions: options } });
  tokens[alg] = signed.token;
}

console.log(JSON.stringify(tokens));
process.exit(); // the pool of connections would keep it running
