import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import {
  Authority,
  addHolder,
  keptCertificates,
  type Role,
  renewCertificates,
  subjectOf,
  updateAuthorityCopies,
} from '../../cmd/certs/index.ts';
import { addCertsCommand } from '../../cmd/commands/certs.ts';
import { readCertificates } from '../../src/security/index.ts';
import { skipWithout } from '../support/programs.ts';
import { runCommand } from './support/in-process.ts';

const DAY_MS = 24 * 3_600_000;
const NOW_MS = Date.now();
const DUE = { all: false, withinDays: 30 };

/** Folders of authorities, removed at the end. */
const work = mkdtempSync(join(tmpdir(), 'kvorum-certs-'));
let folders = 0;
const newFolder = (): string => join(work, `a${++folders}`);

const newAuthority = (folder = newFolder(), nowMs = NOW_MS): Promise<Authority> =>
  Authority.create(folder, 'shop', 3650, nowMs);

async function hold(authority: Authority, name: string, role: Role, hosts: string[] = [], days = 365, nowMs = NOW_MS) {
  const folder = await addHolder(authority, name, role, authority.issue({ name, role }, hosts, days, nowMs));
  const file = role === 'node' ? 'node' : 'client';
  return { cert: join(folder, `${file}.pem`), key: join(folder, `${file}.key`), ca: join(folder, 'ca.pem') };
}

const certificateIn = (path: string): X509Certificate => new X509Certificate(readFileSync(path));

after(() => rmSync(work, { recursive: true, force: true }));

describe('a certificate of the own authority', () => {
  test('is one to OpenSSL, under its strictest rules', { skip: skipWithout('openssl') }, async () => {
    const authority = await newAuthority();
    const node = await hold(authority, 'node1', 'node', ['10.0.0.1', 'db1.example.org', '2001:db8::1']);
    const ada = await hold(authority, 'ada', 'operate');
    const verify = (purpose: string, cert: string): number | null =>
      spawnSync('openssl', ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', node.ca, cert]).status;
    assert.deepEqual([verify('sslserver', node.cert), verify('sslclient', node.cert)], [0, 0]);
    assert.deepEqual([verify('sslserver', ada.cert), verify('sslclient', ada.cert)], [2, 0]);
    const text = execFileSync('openssl', ['x509', '-in', node.cert, '-noout', '-text'], { encoding: 'utf8' });
    assert.match(text, /Subject: O = shop, OU = node, CN = node1/);
    assert.match(
      text,
      /IP Address:10\.0\.0\.1, DNS:db1\.example\.org, IP Address:2001:DB8:0:0:0:0:0:1, DNS:node\.shop\.kvorum/,
    );
    assert.match(text, /Basic Constraints: critical\s+CA:FALSE/);
  });

  test('is one to nodes, and only a node can pose as one', async () => {
    const authority = await newAuthority();
    const node = await hold(authority, 'node1', 'node', ['10.0.0.1']);
    await readCertificates(node, 'peer', NOW_MS);
    const ada = await hold(authority, 'ada', 'admin');
    await readCertificates(ada, 'client', NOW_MS);
    await assert.rejects(readCertificates(ada, 'peer', NOW_MS), /not meant for servers/);
    assert.deepEqual(subjectOf(certificateIn(ada.cert)), { name: 'ada', role: 'admin', cluster: 'shop' });
    assert.equal(certificateIn(ada.cert).subjectAltName, 'DNS:admin.shop.kvorum');
  });

  test('never outlives its authority', async () => {
    const authority = await newAuthority();
    const { cert } = await hold(authority, 'node1', 'node', ['10.0.0.1'], 36_500);
    assert.equal(certificateIn(cert).validToDate.getTime(), Math.floor(authority.endsAtMs / 1000) * 1000);
    const laterMs = authority.endsAtMs + DAY_MS;
    assert.throws(() => authority.issue({ name: 'late', role: 'read' }, [], 1, laterMs), /has ended/);
  });

  test('gives nobody the name of a role', async () => {
    const authority = await newAuthority();
    const issue = (name: string, hosts: string[]) => authority.issue({ name, role: 'data' }, hosts, 1, NOW_MS);
    assert.throws(() => issue('node.shop.kvorum', []), /name of a role/);
    assert.throws(() => issue('ada', ['admin.shop.KVORUM']), /name of a role/);
    assert.throws(() => issue('../ada', []), /must be 1 to 64 letters/);
  });

  test("has a key that is its owner's alone", async () => {
    const authority = await newAuthority();
    const { key, cert } = await hold(authority, 'node1', 'node', ['10.0.0.1']);
    assert.deepEqual(
      [key, join(authority.folder, 'ca.key'), cert].map((path) => statSync(path).mode & 0o777),
      [0o600, 0o600, 0o644],
    );
  });
});

describe('a TLS server with it', () => {
  let server: Server;
  let ca = '';
  before(async () => {
    const authority = await newAuthority();
    const files = await hold(authority, 'node1', 'node', ['127.0.0.1', '::1']);
    ca = authority.pem;
    server = createServer({ cert: readFileSync(files.cert), key: readFileSync(files.key) });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(() => server.close());

  /** The error of the handshake; undefined when there was none. */
  const handshake = (servername?: string): Promise<string | undefined> =>
    new Promise((resolve) => {
      const { port } = server.address() as AddressInfo;
      const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca, servername: servername ?? '' }, () => {
        socket.destroy();
        resolve(undefined);
      });
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });

  test('is believed by clients that compare names, under its own names only', async () => {
    assert.equal(await handshake(), undefined);
    assert.equal(await handshake('db7.example.org'), 'ERR_TLS_CERT_ALTNAME_INVALID');
  });
});

describe('renewal', () => {
  test('takes what ends soon, with a new key for the same holder and use', async () => {
    const authority = await newAuthority();
    const old = await hold(authority, 'node1', 'node', ['10.0.0.1'], 20);
    const fresh = await hold(authority, 'ada', 'read', [], 100);
    const before = certificateIn(old.cert);
    assert.deepEqual(await renewCertificates(authority, DUE, 365, NOW_MS), [
      { path: old.cert, reason: 'it ends within 20 days' },
    ]);
    await readCertificates(old, 'peer', NOW_MS);
    const renewed = certificateIn(old.cert);
    const facts = ({ subject, subjectAltName, keyUsage }: X509Certificate) => ({ subject, subjectAltName, keyUsage });
    assert.deepEqual(facts(renewed), facts(before));
    assert.notEqual(
      renewed.publicKey.export({ type: 'spki', format: 'pem' }),
      before.publicKey.export({ type: 'spki', format: 'pem' }),
    );
    assert.deepEqual(await renewCertificates(authority, DUE, 365, NOW_MS), []);
    const all = await renewCertificates(authority, { all: true, withinDays: 0 }, 365, NOW_MS);
    assert.deepEqual(
      all.map(({ path }) => path),
      [fresh.cert, old.cert],
    );
  });

  test('goes on where it was interrupted', async () => {
    const authority = await newAuthority();
    const [one, two] = [
      await hold(authority, 'node1', 'node', ['10.0.0.1']),
      await hold(authority, 'node2', 'node', ['10.0.0.2']),
    ];
    // The new key was there, its certificate not yet; another key was lost.
    copyFileSync(two.key, one.key);
    unlinkSync(two.key);
    const renewed = await renewCertificates(authority, DUE, 365, NOW_MS);
    assert.deepEqual(
      renewed.map(({ reason }) => reason),
      ['its key is missing or another one', 'its key is missing or another one'],
    );
    for (const files of [one, two]) await readCertificates(files, 'peer', NOW_MS);
  });

  test('leaves certificates of others alone', async () => {
    const authority = await newAuthority();
    const stranger = await hold(await newAuthority(), 'node9', 'node', ['10.0.0.9'], 1);
    const path = join(authority.folder, 'stranger.pem');
    copyFileSync(stranger.cert, path);
    assert.deepEqual(await renewCertificates(authority, { all: true, withinDays: 0 }, 365, NOW_MS), []);
    assert.deepEqual(
      (await keptCertificates(authority)).map(({ isOurs }) => isOurs),
      [false],
    );
  });

  test('works for an authority and certificates that OpenSSL made', { skip: skipWithout('openssl') }, async () => {
    const folder = mkdtempSync(join(work, 'foreign-'));
    const path = (name: string): string => join(folder, name);
    const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
    const subject = [
      '-subj',
      '/C=DE/O=Shop GmbH/CN=house authority',
      '-days',
      '3',
      '-addext',
      'keyUsage=critical,keyCertSign',
    ];
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      path('ca.key'),
      '-out',
      path('ca.pem'),
      ...subject,
    );
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      path('db.key'),
      '-out',
      path('db.csr'),
      '-subj',
      '/C=DE/CN=db',
    );
    writeFileSync(path('ext'), 'subjectAltName=DNS:db,email:db@example.org\n');
    const signed = [
      '-CA',
      path('ca.pem'),
      '-CAkey',
      path('ca.key'),
      '-CAcreateserial',
      '-extfile',
      path('ext'),
      '-days',
      '1',
    ];
    openssl('x509', '-req', '-in', path('db.csr'), ...signed, '-out', path('db.pem'));
    const authority = await Authority.open(folder);
    assert.equal(authority.cluster, 'Shop GmbH');
    await renewCertificates(authority, DUE, 365, NOW_MS);
    openssl('verify', '-x509_strict', '-CAfile', path('ca.pem'), path('db.pem'));
    const renewed = certificateIn(path('db.pem'));
    assert.deepEqual([renewed.subject, renewed.subjectAltName], ['C=DE\nCN=db', 'DNS:db, email:db@example.org']);
  });
});

describe('a change of the authority', () => {
  test('leaves nobody out: both count, then all certificates are new, then the old one goes', async () => {
    const folder = newFolder();
    const old = await newAuthority(folder);
    const one = await hold(old, 'node1', 'node', ['10.0.0.1']);
    const two = await hold(old, 'node2', 'node', ['10.0.0.2']);
    const both = await old.replace(3650, NOW_MS);
    assert.deepEqual(await updateAuthorityCopies(both), [one.ca, two.ca]);
    const accepts = (side: typeof one, other: typeof one): Promise<unknown> =>
      readCertificates({ ...other, ca: side.ca }, 'peer', NOW_MS);
    // Node 1 has its new certificate, node 2 not yet.
    const due = await renewCertificates(both, { all: false, withinDays: 0 }, 365, NOW_MS);
    assert.deepEqual(
      due.map(({ reason }) => reason),
      ['it is of an older authority', 'it is of an older authority'],
    );
    await Promise.all([accepts(one, two), accepts(two, one)]);
    const last = await both.retireOthers();
    await updateAuthorityCopies(last);
    await Promise.all([accepts(one, two), accepts(two, one)]);
    assert.equal((readFileSync(one.ca, 'utf8').match(/BEGIN CERTIFICATE/g) ?? []).length, 1);
  });
});

describe('a change of the authority that was interrupted', () => {
  test('leaves one that signs, and is begun again', async () => {
    const folder = newFolder();
    const old = await newAuthority(folder);
    const oldKey = readFileSync(join(folder, 'ca.key'));
    await old.replace(3650, NOW_MS);
    // Its key was not there yet.
    writeFileSync(join(folder, 'ca.key'), oldKey);
    const reopened = await Authority.open(folder);
    assert.equal(reopened.count, 2);
    const one = await hold(reopened, 'node1', 'node', ['10.0.0.1']);
    await readCertificates(one, 'peer', NOW_MS);
    assert.equal((await reopened.replace(3650, NOW_MS)).count, 3);
  });
});

describe('kvorum certs', () => {
  const certs = (...args: string[]) => runCommand(addCertsCommand, ['certs', ...args]);

  test('makes an authority and certificates, and refuses what would leave somebody out', async () => {
    const folder = newFolder();
    const made = await certs('authority', folder, '--cluster-name', 'shop');
    assert.match(made.output, /an authority for shop in .* until 20\d\d-/);
    assert.match((await certs('authority', folder)).output, /is there already; --replace/);
    assert.ok((await certs('node', folder, 'node4', '--host', '10.0.0.4', '--host', 'db4')).works);
    const ada = ['client', folder, 'ada', '--role', 'operate'];
    assert.match((await certs(...ada)).output, /a certificate for ada \(operate\)/);
    assert.match((await certs(...ada)).output, /is there already; kvorum certs renew/);
    const eve = await certs('client', folder, 'eve', '--role', 'node');
    assert.match(eve.output, /Allowed choices are read, operate, admin, data/);
    assert.ok((await certs('authority', folder, '--replace')).works);
    const early = await certs('authority', folder, '--retire');
    assert.match(early.output, /of the older authority are still: .*client\.pem, .*node\.pem/);
    assert.match((await certs('renew', folder)).output, /renewed .*client\.pem: it is of an older authority/);
    const retired = await certs('authority', folder, '--retire');
    assert.match(retired.output, /one authority counts.*\nchanged .*ada\/ca\.pem\nchanged .*node4\/ca\.pem/);
    assert.match(
      (await certs('list', folder)).output,
      /^ada +operate +20\d\d-\d\d-\d\d +36[45] days left +.*ada\/client\.pem$/m,
    );
  });
});
