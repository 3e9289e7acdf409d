/** The DynamoDB port with TLS, as the AWS SDK and plain connections meet it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
import type { Credential } from '../../src/adapter/dynamodb/wire/credentials.ts';
import { SystemClock } from '../../src/platform/index.ts';
import { CertificateStore } from '../../src/security/index.ts';
import { openBed, operation, type PortBed } from '../adapter/dynamodb/wire/port-bed.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { type Issued, TestAuthority } from './authority.ts';

const KEY: Credential = { accessKeyId: 'writer', secretAccessKey: 'a secret', access: 'write' };

describe('a DynamoDB port with TLS', { skip: skipWithout('openssl') }, () => {
  let authority: TestAuthority;
  let foreign: TestAuthority;
  let own: Issued;
  let client: Issued;

  before(() => {
    authority = new TestAuthority();
    foreign = new TestAuthority('foreign');
    own = authority.issue('server');
    client = authority.issue('client', { usage: 'clientAuth' });
  });
  after(() => {
    authority.remove();
    foreign.remove();
  });

  const serve = async (
    clientAuth: 'none' | 'optional' | 'required',
    files: Issued = own,
    run: () => Promise<object> = async () => ({ TableNames: ['over TLS'] }),
  ): Promise<{ readonly bed: PortBed; readonly store: CertificateStore }> => {
    const store = await CertificateStore.open(
      clientAuth === 'none' ? { cert: files.cert, key: files.key } : files,
      'server',
      new SystemClock(),
    );
    const bed = await openBed({
      credentials: [KEY],
      operations: [operation('ListTables', run)],
      tls: { certificates: store, clientAuth },
    });
    return { bed, store };
  };

  /** What the SDK is answered, or the code of what it fails with. */
  const ask = async (port: number, shown: { ca?: Buffer; cert?: Buffer; key?: Buffer } = {}): Promise<string> => {
    const httpsAgent = new Agent({ ca: authority.read(own).ca, ...shown });
    const { accessKeyId, secretAccessKey } = KEY;
    const sdk = new DynamoDBClient({
      endpoint: `https://127.0.0.1:${port}`,
      region: 'eu-west-1',
      credentials: { accessKeyId, secretAccessKey },
      maxAttempts: 1,
      requestHandler: { httpsAgent },
    });
    try {
      return (await sdk.send(new ListTablesCommand({}))).TableNames!.join();
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? (error as Error).name;
    } finally {
      sdk.destroy();
      httpsAgent.destroy();
    }
  };

  test('answers an SDK that knows the authority, and none that does not', async () => {
    const { bed } = await serve('none');
    try {
      assert.equal(await ask(bed.port), 'over TLS');
      assert.match(await ask(bed.port, { ca: readFileSync(foreign.ca) }), /CERT|SIGNATURE|ISSUER/);
      assert.deepEqual(bed.failures, []);
    } finally {
      await bed.stop();
    }
  });

  test('lets an answer under way leave when it stops', async () => {
    let finish: (() => void) | undefined;
    const { bed } = await serve('none', own, async () => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return { TableNames: ['at last'] };
    });
    const answer = ask(bed.port);
    await until(() => finish !== undefined);
    const stopped = bed.stop();
    finish!();
    assert.equal(await answer, 'at last');
    await stopped;
  });

  test('asks for a certificate of the authority where it is told to', async () => {
    const { bed } = await serve('required');
    try {
      const { cert, key } = authority.read(client);
      assert.equal(await ask(bed.port, { cert, key }), 'over TLS');
      assert.notEqual(await ask(bed.port), 'over TLS');
      const stranger = foreign.read(foreign.issue('stranger', { usage: 'clientAuth' }));
      assert.notEqual(await ask(bed.port, { cert: stranger.cert, key: stranger.key }), 'over TLS');
    } finally {
      await bed.stop();
    }
  });

  test('shows a new certificate when its files have changed, and keeps its connections', async () => {
    const place = authority.issue('renewed');
    const { bed, store } = await serve('none', place);
    const kept = connectTls({ host: '127.0.0.1', port: bed.port, ca: authority.read(own).ca });
    try {
      await new Promise((resolve, reject) => kept.once('secureConnect', resolve).once('error', reject));
      const serial = kept.getPeerCertificate().serialNumber;
      authority.replace(place, authority.issue('newer'));
      await store.refresh();
      const fresh = connectTls({ host: '127.0.0.1', port: bed.port, ca: authority.read(own).ca });
      await new Promise((resolve, reject) => fresh.once('secureConnect', resolve).once('error', reject));
      assert.notEqual(fresh.getPeerCertificate().serialNumber, serial);
      fresh.destroy();
      kept.write('GET / HTTP/1.1\r\nHost: here\r\n\r\n');
      const said = await new Promise<string>((resolve) => kept.once('data', (bytes) => resolve(bytes.toString())));
      assert.match(said, /^HTTP\/1.1 200 [\s\S]*healthy: here/);
    } finally {
      kept.destroy();
      await bed.stop();
    }
  });

  test('says nothing to plain text', async () => {
    const { bed } = await serve('none');
    try {
      const said = await new Promise<string>((resolve) => {
        let text = '';
        const socket = connect(bed.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: here\r\n\r\n'));
        socket.on('data', (bytes) => {
          text += bytes.toString('latin1');
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve(text));
      });
      assert.doesNotMatch(said, /healthy|HTTP/);
    } finally {
      await bed.stop();
    }
  });
});
