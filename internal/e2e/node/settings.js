// What the authorization server and the client agree on.

/** The APIs that access tokens can be asked for (RFC 8707). */
export const resource = 'https://orders.example/api';
export const otherResource = 'https://invoices.example/api';
export const scope = 'orders:read orders:write';

export const user = 'user_01E2E';

// The person signs in with a public client. Its redirect URI is never
// fetched: the headless browser stops in front of it.
export const app = { id: 'orders-app', redirectUri: 'https://app.example/callback' };
// A machine has a secret. The third client's tokens are bound to its
// certificate (RFC 8705).
export const machine = { id: 'orders-machine', secret: 'a secret that opens nothing but this test server' };
export const boundMachine = { id: 'orders-mtls-machine', secret: 'another secret that opens nothing but this test server' };
