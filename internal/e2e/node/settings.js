// What the authorization server and the client agree on.

/** The APIs that access tokens can be asked for (RFC 8707). */
export const resource = 'https://orders.example/api';
export const otherResource = 'https://invoices.example/api';
// The tokens for this one are opaque.
export const opaqueResource = 'https://payments.example/api';
export const scope = 'orders:read orders:write';

export const user = 'user_01E2E';

// The person signs in with a public client. Its redirect URI is never
// fetched: the headless browser stops in front of it.
export const app = { id: 'orders-app', redirectUri: 'https://app.example/callback' };
// A machine has a secret. The third client's tokens are bound to its
// certificate (RFC 8705).
export const machine = { id: 'orders-machine', secret: 'a secret that opens nothing but this test server' };
export const boundMachine = { id: 'orders-mtls-machine', secret: 'another secret that opens nothing but this test server' };
// What the API proves itself with where it asks about tokens, in the header or
// in the form. RFC 6749 section 2.3.1 has most of these characters encoded.
export const api = { id: 'payments-api', secret: 'a+secret & that=opens nothing%20but/this:test server' };
export const formAPI = { id: 'payments-api-by-form', secret: `${api.secret}, by form` };
