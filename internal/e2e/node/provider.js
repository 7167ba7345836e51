// Runs one authorization server for each algorithm, all on loopback, and
// prints one line of JSON that says where. It lives until its standard input
// ends, so that it cannot outlive the test that started it.
//
// CLIENT_CERTIFICATE (PEM, optional) is the certificate that every caller is
// taken to have presented: what a TLS-terminating proxy would pass on.

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';
import {
  api, app, boundMachine, formAPI, machine, opaqueResource, otherResource, resource, scope, user,
} from './settings.js';

const certificate = process.env.CLIENT_CERTIFICATE;

// What each provider signs everything with, and where it is mounted: an issuer
// may have a path (RFC 8414 section 3.1).
const servers = [
  { alg: 'RS256', path: '' },
  { alg: 'ES256', path: '/tenants/es', signsIntrospection: true }, // RFC 9701
  { alg: 'EdDSA', path: '' },
  { alg: 'Ed25519', path: '/ed' },
];

function jwk(type, options, members) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), ...members };
}

// The keys of a provider that has lived for a while: several types side by
// side, one for encryption, and an RSA key without a use of its own.
function keys(alg) {
  return [
    jwk('rsa', { modulusLength: 2048 }, { kid: 'enc-1', use: 'enc' }),
    jwk('rsa', { modulusLength: 2048 }, { kid: 'rsa-1' }),
    jwk('ec', { namedCurve: 'P-256' }, { kid: 'ec-1', use: 'sig' }),
    jwk('ec', { namedCurve: 'P-384' }, { kid: 'ec-2', use: 'sig', alg: 'ES384' }),
    jwk('ed25519', {}, { kid: 'ed-1', use: 'sig', ...(alg === 'Ed25519' ? { alg } : {}) }),
  ];
}

function configuration(alg, signsIntrospection = false) {
  const client = (id, more) => ({
    client_id: id,
    id_token_signed_response_alg: alg,
    ...more,
  });
  const service = ({ id, secret }, more) => client(id, {
    client_secret: secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    ...more,
  });
  // It gets no tokens, it asks about them.
  const asker = (credentials, more) => service(credentials, {
    grant_types: [],
    ...(signsIntrospection && { introspection_signed_response_alg: alg }),
    ...more,
  });
  return {
    jwks: { keys: keys(alg) },
    clients: [
      client(app.id, {
        token_endpoint_auth_method: 'none',
        redirect_uris: [app.redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
      }),
      service(machine),
      asker(api),
      asker(formAPI, { token_endpoint_auth_method: 'client_secret_post' }),
      ...(certificate ? [service(boundMachine, { tls_client_certificate_bound_access_tokens: true })] : []),
    ],
    scopes: ['openid', 'offline_access', ...scope.split(' ')],
    cookies: { keys: ['a key that signs nothing but the cookies of this test server'] },
    pkce: { required: () => true },
    ttl: { AccessToken: 600, ClientCredentials: 600, IdToken: 600 },
    findAccount: (_, id) => (id === user ? { accountId: id, claims: () => ({ sub: id }) } : undefined),
    features: {
      devInteractions: { enabled: true }, // the provider's own login and consent forms
      clientCredentials: { enabled: true },
      encryption: { enabled: true }, // a key for it is in the set, for the kit to pass over
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: signsIntrospection },
      revocation: { enabled: true, allowedPolicy: (_, { clientId }, token) => token.clientId === clientId },
      mTLS: {
        enabled: certificate !== undefined,
        certificateBoundAccessTokens: certificate !== undefined,
        getCertificate: () => certificate,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => false,
        getResourceServerInfo: (_, indicator) => {
          if (indicator === opaqueResource) {
            return { scope, audience: indicator, accessTokenFormat: 'opaque' };
          }
          if (indicator !== resource && indicator !== otherResource) {
            throw new Error(`unknown resource ${indicator}`);
          }
          return { scope, audience: indicator, accessTokenFormat: 'jwt', jwt: { sign: { alg } } };
        },
      },
    },
  };
}

const issuers = {};
for (const { alg, path, signsIntrospection } of servers) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  issuers[alg] = `http://127.0.0.1:${server.address().port}${path}`;
  const provider = new Provider(issuers[alg], configuration(alg, signsIntrospection));
  for (const event of ['server_error', 'authorization.error', 'grant.error']) {
    provider.on(event, (_, err) => console.error(`${alg}: ${event}:`, err));
  }
  const handle = provider.callback();
  server.on('request', (req, res) => {
    if (!req.url.startsWith(`${path}/`)) {
      res.writeHead(404).end();
      return;
    }
    // Mounted as an Express application mounts its parts.
    req.originalUrl = req.url;
    req.url = req.url.slice(path.length);
    handle(req, res);
  });
}

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuers }));
