// A person with a browser, without the browser: it follows redirects, keeps
// cookies and submits the forms it is shown.

export class Browser {
  #cookies = new Map();

  /**
   * Opens a page and goes on, filling in forms, until it is sent to target.
   * @returns {Promise<URL>} the address at target, which is not fetched
   */
  async walk(url, target, answers) {
    let request = { method: 'GET' };
    for (let step = 0; step < 30; step += 1) {
      if (url.href.split('?')[0] === target) return url;
      const response = await fetch(url, {
        ...request,
        redirect: 'manual',
        headers: { ...request.headers, cookie: this.#send(url) },
      });
      this.#receive(url, response);
      const location = response.headers.get('location');
      const page = await response.text();
      if (location) {
        url = new URL(location, url);
        request = { method: 'GET' };
      } else if (response.ok) {
        ({ url, request } = submit(page, url, answers));
      } else {
        throw new Error(`${request.method} ${url.pathname} answered ${response.status}: ${page}`);
      }
    }
    throw new Error('the sign-in does not come to an end');
  }

  #receive(url, response) {
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(';').map((s) => s.trim());
      const at = pair.indexOf('=');
      const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
      const attribute = (wanted) => attributes.find((a) => a.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
      const path = attribute('path') ?? '/';
      const expires = attribute('expires');
      const key = `${url.host} ${path} ${name}`;
      if (value === '' || (expires && new Date(expires) <= new Date())) {
        this.#cookies.delete(key);
      } else {
        this.#cookies.set(key, { host: url.host, path, pair });
      }
    }
  }

  #send({ host, pathname }) {
    return [...this.#cookies.values()]
      .filter((c) => c.host === host && (pathname === c.path || pathname.startsWith(c.path.endsWith('/') ? c.path : `${c.path}/`)))
      .map((c) => c.pair)
      .join('; ');
  }
}

const unescape = (text) => text.replaceAll('&#39;', "'").replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');

// submit fills in the page's first form.
function submit(page, url, answers) {
  const form = page.match(/<form[^>]*\baction="([^"]+)"[^>]*>([\s\S]*?)<\/form>/);
  if (!form) throw new Error(`${url.pathname} shows no form: ${page}`);
  const body = new URLSearchParams();
  for (const [input] of form[2].matchAll(/<input\b[^>]*>/g)) {
    const attribute = (name) => input.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1];
    const name = attribute('name');
    const value = answers[name] ?? attribute('value');
    if (value === undefined) throw new Error(`${url.pathname} asks for ${name}`);
    body.set(name, unescape(value));
  }
  return { url: new URL(unescape(form[1]), url), request: { method: 'POST', body } };
}
