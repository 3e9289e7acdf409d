import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { SystemClock, SystemScheduler } from '../../src/platform/index.ts';
import {
  CertificateError,
  CertificateStore,
  type CertificateUse,
  FileRefresher,
  isLoopback,
  PasswordFileError,
  Passwords,
  readCertificates,
  Secret,
  type SecurityLogger,
} from '../../src/security/index.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { type Issued, TestAuthority } from './authority.ts';

const HOUR_MS = 3_600_000;

/** Keeps what is logged. */
class Log implements SecurityLogger {
  readonly lines: string[] = [];
  info = (_facts: object, message: string): void => void this.lines.push(`info ${message}`);
  warn = (_facts: object, message: string): void => void this.lines.push(`warn ${message}`);
  error = (_facts: object, message: string): void => void this.lines.push(`error ${message}`);
}

let authority: TestAuthority;
let node: Issued;

/** The message of the refusal. */
async function refusal(files: Partial<Issued>, use: CertificateUse = 'peer', nowMs = Date.now()): Promise<string> {
  try {
    await readCertificates({ ...node, ...files }, use, nowMs);
  } catch (error) {
    assert.ok(error instanceof CertificateError);
    return error.message;
  }
  return assert.fail('it was taken');
}

describe('certificates', { skip: skipWithout('openssl') }, () => {
  before(() => {
    authority = new TestAuthority();
    node = authority.issue('node');
  });
  after(() => authority.remove());

  test('that belong together and count now are taken, for every use', async () => {
    for (const use of ['server', 'client', 'peer'] as const) {
      const { expiresAtMs } = await readCertificates(node, use, Date.now());
      assert.ok(expiresAtMs > Date.now() + 24 * HOUR_MS);
    }
  });

  test('that have expired, or do not count yet, are refused with the file, the name and the date', async () => {
    const old = authority.issue('old', { days: -1 });
    assert.match(await refusal(old), /^the certificate in .*old\.pem \(CN=old\) expired on \d{4}-\d\d-\d\dT[\d:]+Z$/);
    assert.match(await refusal({}, 'peer', Date.now() + 100 * 24 * HOUR_MS), /node\.pem \(CN=node\) expired on/);
    assert.match(await refusal({}, 'peer', Date.now() - 24 * HOUR_MS), /node\.pem.* is not valid before .*clock/);
    assert.match(await refusal({ ca: old.cert }), /^the CA certificate in .*old\.pem \(CN=old\) expired on/);
  });

  test('whose key is another one, missing, encrypted or nonsense are refused with the name of the file', async () => {
    const other = authority.issue('other');
    assert.match(await refusal({ key: other.key }), /^the key in .*other\.key does not belong to .* in .*node\.pem$/);
    assert.match(await refusal({ key: '/nowhere/key' }), /^the key file \/nowhere\/key does not exist$/);
    assert.match(await refusal({ cert: '/nowhere/cert' }), /^the certificate file \/nowhere\/cert does not exist$/);
    assert.match(await refusal({ key: node.cert }), /^the key file .*node\.pem holds no private key/);
    assert.match(await refusal({ cert: node.key }), /^the certificate file .*node\.key holds no certificate/);
    assert.match(await refusal({ ca: node.key }), /^the CA file .*node\.key holds no certificate/);
    const locked = authority.path('locked.key');
    writeFileSync(locked, '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n');
    assert.match(await refusal({ key: locked }), /locked\.key is encrypted/);
    const damaged = authority.path('damaged.pem');
    writeFileSync(damaged, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    assert.match(await refusal({ cert: damaged }), /certificate 1 in the certificate file .*damaged\.pem is damaged/);
  });

  test('that other nodes would refuse are refused at home', async () => {
    const foreign = new TestAuthority('foreign');
    try {
      assert.match(await refusal({ ca: foreign.ca }), /node\.pem .*not signed by an authority in .*ca\.pem/);
      // Clients of Redis have other authorities than the server.
      await readCertificates({ ...node, ca: foreign.ca }, 'server', Date.now());
      // While one authority follows another, a file has both.
      const both = authority.path('both.pem');
      copyFileSync(foreign.ca, both);
      appendFileSync(both, authority.read(node).ca);
      await readCertificates({ ...node, ca: both }, 'peer', Date.now());
    } finally {
      foreign.remove();
    }
    const client = authority.issue('client', { usage: 'clientAuth' });
    assert.match(await refusal(client), /client\.pem .* not meant for servers \(serverAuth\); a node is both/);
    assert.match(await refusal(client, 'server'), /not meant for servers/);
    await readCertificates(client, 'client', Date.now());
  });

  test('that change are read again, and a mistake leaves the old ones in use and is logged once', async () => {
    const place = authority.issue('place');
    const next = authority.issue('next');
    const store = await CertificateStore.open(place, 'peer', new SystemClock());
    const first = store.current;
    let told = 0;
    store.onChange(() => told++);
    const log = new Log();
    const refresher = new FileRefresher({
      sources: [store],
      scheduler: new SystemScheduler(),
      everyMs: 5,
      logger: log,
    });
    refresher.start();
    try {
      assert.match(log.lines[0]!, /^warn the certificate in .*place\.pem expires in 1 day; put a new one/);
      authority.replace({ ...place, key: next.key }, next);
      await until('the mistake is logged', () => log.lines.length === 2);
      assert.match(
        log.lines[1]!,
        /^error the key in .*place\.key does not belong .*; what was read before stays in use$/,
      );
      await refresher.refresh();
      await refresher.refresh();
      assert.equal(log.lines.length, 2);
      assert.equal(store.current, first);
      authority.replace(place, next);
      await until('the new one is in use', () => told === 1);
      assert.deepEqual(store.current.cert, authority.read(next).cert);
      assert.match(log.lines[2]!, /^info the certificate .*place\.pem was read again$/);
    } finally {
      refresher.stop();
    }
  });
});

describe('passwords', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-passwords-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  const matches = (passwords: Passwords | undefined, text: string): boolean => passwords!.matches(Buffer.from(text));

  test('are one, or all lines of a file, and are read again when the file changes', async () => {
    assert.equal(await Passwords.open({}), undefined);
    const one = await Passwords.open({ password: new Secret('s3cret') });
    assert.deepEqual(
      ['s3cret', 's3cre', 's3cret ', '', 'S3CRET'].map((text) => matches(one, text)),
      [true, false, false, false, false],
    );
    const file = join(folder, 'passwords');
    writeFileSync(file, 'old\r\nnew one\n\n');
    const several = await Passwords.open({ file });
    assert.deepEqual(
      ['old', 'new one', 'new', ''].map((text) => matches(several, text)),
      [true, true, false, false],
    );
    assert.equal(await several!.refresh(), false);
    writeFileSync(file, 'new one\n');
    assert.equal(await several!.refresh(), true);
    assert.deepEqual([matches(several, 'old'), matches(several, 'new one')], [false, true]);
    // An emptied file would let nobody in, a deleted one anybody: neither counts.
    writeFileSync(file, '\n');
    await assert.rejects(several!.refresh(), PasswordFileError);
    assert.equal(matches(several, 'new one'), true);
    assert.equal(matches(several, ''), false);
    await assert.rejects(Passwords.open({ file: '/nowhere' }), /the password file \/nowhere does not exist/);
  });

  test('are not shown by anything that prints them', () => {
    const secret = new Secret('s3cret');
    for (const shown of [
      `${secret}`,
      String(secret),
      JSON.stringify({ secret }),
      inspect({ secret }, { showHidden: true }),
    ]) {
      assert.doesNotMatch(shown, /s3cret/);
    }
    assert.equal(secret.reveal(), 's3cret');
  });
});

test('only addresses of this machine alone are loopback', () => {
  for (const host of ['127.0.0.1', '127.3.2.1', '::1', '[::1]', 'localhost', 'LOCALHOST.', '::ffff:127.0.0.1']) {
    assert.equal(isLoopback(host), true, host);
  }
  for (const host of [
    '0.0.0.0',
    '::',
    '[::]',
    '10.0.0.1',
    'localhost.example.com',
    '::ffff:10.0.0.1',
    '128.0.0.1',
    '127.1.example',
  ]) {
    assert.equal(isLoopback(host), false, host);
  }
});
