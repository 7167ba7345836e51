// Signs a person and machines in at the providers whose line stands on standard
// input, and prints what they were given, as JSON.

import { text } from 'node:stream/consumers';
import * as oidc from 'openid-client';
import { Browser } from './browser.js';
import {
  api, app, boundMachine, formAPI, machine, opaqueResource, otherResource, resource, scope, user,
} from './settings.js';

const { issuers } = JSON.parse(await text(process.stdin));

async function discover(issuer, client, alg) {
  const authentication = client.secret ? oidc.ClientSecretBasic(client.secret) : oidc.None();
  return oidc.discovery(new URL(issuer), client.id, { id_token_signed_response_alg: alg }, authentication, {
    execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks],
  });
}

// signIn is the authorization code grant with PKCE (RFC 7636). openid-client
// checks state, nonce and the ID token, its signature included.
async function signIn(config, { resource: indicator, scope: wanted, nonce, DPoP }) {
  const verifier = oidc.randomPKCECodeVerifier();
  const state = oidc.randomState();
  const start = oidc.buildAuthorizationUrl(config, {
    redirect_uri: app.redirectUri,
    scope: wanted,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    prompt: 'consent',
    state,
    ...(nonce && { nonce }),
    ...(indicator && { resource: indicator }),
  });
  const end = await new Browser().walk(start, app.redirectUri, { login: user, password: 'any' });
  return oidc.authorizationCodeGrant(
    config,
    end,
    { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true },
    indicator && { resource: indicator },
    { DPoP },
  );
}

async function tokens(alg, issuer) {
  const config = await discover(issuer, app, alg);
  const dpop = async (c) => oidc.getDPoPHandle(c, await oidc.randomDPoPKeyPair('ES256'));

  const whole = await signIn(config, { resource, scope: `openid offline_access ${scope}`, nonce: oidc.randomNonce() });
  const refreshed = await oidc.refreshTokenGrant(config, whole.refresh_token, { resource });
  const reader = await signIn(config, { resource, scope: 'openid orders:read' });
  const foreign = await signIn(config, { resource: otherResource, scope: `openid ${scope}` });
  const opaque = await signIn(config, { scope: 'openid' });
  // A sign-in each: to revoke a token ends the grant behind it.
  const payments = [];
  for (let i = 0; i < 3; i += 1) {
    payments.push(await signIn(config, { resource: opaqueResource, scope: `openid offline_access ${scope}` }));
  }
  const bound = await signIn(config, { resource, scope: `openid ${scope}`, DPoP: await dpop(config) });

  const machineConfig = await discover(issuer, machine, alg);
  const credentials = { resource, scope };
  const service = await oidc.clientCredentialsGrant(machineConfig, credentials);
  const paymentsService = await oidc.clientCredentialsGrant(machineConfig, { ...credentials, resource: opaqueResource });
  const boundService = await oidc.clientCredentialsGrant(machineConfig, credentials, { DPoP: await dpop(machineConfig) });
  const certified = process.env.CLIENT_CERTIFICATE
    && await oidc.clientCredentialsGrant(await discover(issuer, boundMachine, alg), credentials);

  return {
    access: whole.access_token,
    id: whole.id_token,
    refresh: refreshed.refresh_token,
    refreshed_access: refreshed.access_token,
    refreshed_id: refreshed.id_token,
    reader_access: reader.access_token,
    reader_id: reader.id_token,
    foreign_access: foreign.access_token,
    opaque_access: opaque.access_token,
    payments: payments.map((p) => p.access_token),
    payments_refresh: payments[0].refresh_token,
    payments_machine: paymentsService.access_token,
    dpop_access: bound.access_token,
    machine: service.access_token,
    dpop_machine: boundService.access_token,
    mtls_machine: certified?.access_token,
  };
}

const entries = await Promise.all(
  Object.entries(issuers).map(async ([alg, issuer]) => [alg, { issuer, tokens: await tokens(alg, issuer) }]),
);
console.log(JSON.stringify({
  resource,
  other_resource: otherResource,
  opaque_resource: opaqueResource,
  scope,
  user,
  client_id: app.id,
  machine_id: machine.id,
  api,
  form_api: formAPI,
  issuers: Object.fromEntries(entries),
}));
