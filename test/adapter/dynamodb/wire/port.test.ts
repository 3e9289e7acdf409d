import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { crc32, deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import { LeaderUnavailableError } from '../../../../src/kv/index.ts';
import { type Scheduler, SystemScheduler } from '../../../../src/platform/index.ts';
import { until } from '../../../support/until.ts';
import {
  echo,
  membersOf,
  openBed,
  operation,
  type PortBed,
  type RawAnswer,
  RawClient,
  requestBytes,
} from './port-bed.ts';

const GET = '{"TableName":"abc","Key":{"a":{"S":"x"}}}';

describe('the port', () => {
  let bed: PortBed;
  before(async () => {
    bed = await openBed();
  });
  after(() => bed.stop());

  /** Asks once, on a connection of its own. */
  async function ask(...parts: readonly (string | Buffer)[]): Promise<RawAnswer | undefined> {
    const client = await RawClient.open(bed.port);
    client.write(...parts);
    const answer = await client.answer();
    client.close();
    return answer;
  }

  test('answers with the headers that SDKs look at', async () => {
    const answer = (await ask(requestBytes('GetItem', GET)))!;
    assert.equal(answer.status, 200);
    assert.equal(answer.body.toString(), GET);
    assert.equal(answer.headers.get('content-type'), 'application/x-amz-json-1.0');
    assert.equal(answer.headers.get('x-amz-crc32'), String(crc32(answer.body)));
    assert.match(answer.headers.get('x-amzn-requestid')!, /^[A-Z0-9]{52}$/);
    assert.equal(answer.headers.get('server'), 'Server');
    assert.equal(answer.headers.get('connection'), 'keep-alive');
    assert.equal(answer.headers.get('access-control-allow-origin'), undefined);
  });

  test('answers requests of one connection in their order, sent one by one or all at once', async () => {
    const client = await RawClient.open(bed.port);
    const bodyOf = (at: number): string => `{"TableName":"t${at}","Key":{"a":{"N":"${at}"}}}`;
    client.write(Buffer.concat(Array.from({ length: 200 }, (_, at) => requestBytes('GetItem', bodyOf(at)))));
    for (let at = 0; at < 200; at++) assert.equal((await client.answer())?.body.toString(), bodyOf(at));
    client.write(requestBytes('GetItem', bodyOf(200)));
    assert.equal((await client.answer())?.body.toString(), bodyOf(200));
    client.close();
  });

  test('takes a request byte by byte, in chunks, and behind a question whether to go on', async () => {
    const slow = await RawClient.open(bed.port);
    for (const byte of requestBytes('GetItem', GET)) slow.write(Buffer.of(byte));
    assert.equal((await slow.answer())?.body.toString(), GET);
    slow.close();
    const chunks = `${GET.length.toString(16)}\r\n${GET}\r\n0\r\n\r\n`;
    const head = requestBytes('GetItem', '').toString().replace('content-length: 0', 'transfer-encoding: chunked');
    assert.equal((await ask(head, chunks))?.body.toString(), GET);
    const client = await RawClient.open(bed.port);
    const asking = requestBytes('GetItem', '').toString();
    client.write(asking.replace('content-length: 0', `content-length: ${GET.length}\r\nexpect: 100-continue`));
    assert.equal((await client.answer())?.status, 100);
    client.write(GET);
    assert.equal((await client.answer())?.body.toString(), GET);
    client.close();
  });

  test('says what is wrong with a request, and goes on with the connection', async () => {
    const client = await RawClient.open(bed.port);
    const outcome = async (bytes: Buffer): Promise<unknown[]> => {
      client.write(bytes);
      const answer = (await client.answer())!;
      const { __type: type, message, Message: capital } = membersOf(answer);
      return [answer.status, type, message ?? capital];
    };
    const coral = 'com.amazon.coral.service#';
    assert.deepEqual(await outcome(requestBytes('Nothing', '{}')), [
      400,
      `${coral}UnknownOperationException`,
      undefined,
    ]);
    assert.deepEqual(await outcome(requestBytes('GetItem', '{}', { 'x-amz-target': 'GetItem' })), [
      400,
      `${coral}UnknownOperationException`,
      undefined,
    ]);
    assert.deepEqual(await outcome(requestBytes('GetItem', '')), [400, `${coral}SerializationException`, undefined]);
    assert.deepEqual(await outcome(requestBytes('GetItem', '{"TableName":1}')), [
      400,
      `${coral}SerializationException`,
      'NUMBER_VALUE cannot be converted to String',
    ]);
    assert.deepEqual(await outcome(requestBytes('GetItem', '{"TableName":"abc"}')), [
      400,
      'com.amazon.coral.validate#ValidationException',
      "1 validation error detected: Value null at 'key' failed to satisfy constraint: Member must not be null",
    ]);
    client.write(requestBytes('GetItem', GET));
    assert.equal((await client.answer())?.status, 200);
    client.close();
  });

  test('finds other methods, paths and protocols nowhere, is healthy, and lets browsers in', async () => {
    const found = async (text: string): Promise<[number, string]> => {
      const answer = (await ask(`${text}\r\nhost: here:1\r\ncontent-length: 0\r\n\r\n`))!;
      return [answer.status, answer.body.toString()];
    };
    assert.deepEqual(await found('GET / HTTP/1.1'), [200, 'healthy: here:1 ']);
    assert.equal((await found('GET /x HTTP/1.1'))[0], 404);
    assert.equal((await found('PUT / HTTP/1.1'))[0], 404);
    assert.equal(
      (await found('POST /service/DynamoDB_20120810/operation/GetItem HTTP/1.1\r\nsmithy-protocol: rpc-v2-cbor'))[0],
      404,
    );
    assert.equal((await ask(requestBytes('GetItem', GET, { 'content-type': 'application/cbor' })))?.status, 404);
    const plain = await ask(requestBytes('GetItem', GET, { 'content-type': 'application/json; charset=utf-8' }));
    assert.equal(plain?.headers.get('content-type'), 'application/json');
    const page = await ask(requestBytes('GetItem', GET, { origin: 'http://page' }));
    assert.equal(page?.headers.get('access-control-allow-origin'), '*');
    const preflight = await ask(
      'OPTIONS / HTTP/1.1\r\nhost: x\r\norigin: http://page\r\naccess-control-request-method: POST\r\naccess-control-request-headers: x-amz-target\r\n\r\n',
    );
    assert.equal(preflight?.headers.get('access-control-allow-methods'), 'POST');
    assert.equal(preflight?.headers.get('access-control-allow-headers'), 'x-amz-target');
  });

  test('takes compressed bodies and compresses long answers for those who take it', async () => {
    const long = JSON.stringify({ TableName: 'abc', Key: { a: { S: 'x'.repeat(10_000) } } });
    const zipped = await ask(
      requestBytes('GetItem', gzipSync(long), { 'content-encoding': 'gzip', 'accept-encoding': 'br, gzip' }),
    );
    assert.equal(zipped?.headers.get('content-encoding'), 'gzip');
    assert.equal(gunzipSync(zipped!.body).toString(), long);
    assert.equal(zipped?.headers.get('x-amz-crc32'), String(crc32(zipped!.body)), 'over the body as it is sent');
    const plain = await ask(
      requestBytes('GetItem', deflateSync(long), {
        'content-encoding': 'deflate',
        'accept-encoding': 'gzip;q=0, identity',
      }),
    );
    assert.equal(plain?.headers.get('content-encoding'), undefined);
    assert.equal(plain?.body.toString(), long);
    const short = await ask(requestBytes('GetItem', GET, { 'accept-encoding': 'gzip' }));
    assert.equal(short?.headers.get('content-encoding'), undefined);
    for (const headers of [{ 'content-encoding': 'gzip' }, { 'content-encoding': 'br' }]) {
      assert.equal(
        membersOf(await ask(requestBytes('GetItem', GET, headers))).__type,
        'com.amazon.coral.service#SerializationException',
      );
    }
  });

  test('refuses a body beyond 16 MiB without breaking the pipe, whatever is said about its length', async () => {
    const mebibyte = Buffer.alloc(1024 * 1024, 0x20);
    const client = await RawClient.open(bed.port);
    client.write(
      requestBytes('GetItem', '')
        .toString()
        .replace('content-length: 0', `content-length: ${17 * mebibyte.length}`),
    );
    assert.equal((await client.answer())?.status, 413);
    // The client still writes, and the connection is good for the next request.
    client.write(...Array.from({ length: 17 }, () => mebibyte), requestBytes('GetItem', GET));
    assert.equal((await client.answer())?.status, 200);
    client.write(requestBytes('GetItem', '').toString().replace('content-length: 0', 'transfer-encoding: chunked'));
    for (let sent = 0; sent < 17; sent++) client.write(`${mebibyte.length.toString(16)}\r\n`, mebibyte, '\r\n');
    assert.equal((await client.answer())?.status, 413);
    client.close();
    const bomb = gzipSync(Buffer.alloc(17 * mebibyte.length, 0x20));
    assert.equal((await ask(requestBytes('GetItem', bomb, { 'content-encoding': 'gzip' })))?.status, 413);
    const large = JSON.stringify({ TableName: 'abc', Key: { a: { S: 'x'.repeat(15 * mebibyte.length) } } });
    assert.equal((await ask(requestBytes('GetItem', large)))?.body.length, large.length);
  });

  test('answers heads that are too long or no HTTP with a status, not with silence', async () => {
    assert.equal((await ask(requestBytes('GetItem', GET, { 'x-long': 'x'.repeat(17_000) })))?.status, 431);
    assert.equal((await ask('what?\r\n\r\n'))?.status, 400);
  });

  test('never fails in a way that nobody foresaw, whatever bytes come', async () => {
    const good = requestBytes('GetItem', GET);
    const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(damage, async (places) => {
        const bytes = Buffer.from(good);
        for (const [at, byte] of places) bytes[at] = byte;
        const client = await RawClient.open(bed.port);
        client.write(bytes);
        client.socket.end();
        const answer = await client.answer();
        assert.ok(answer === undefined || answer.status < 500, String(answer?.status));
        client.close();
      }),
      { numRuns: 150 },
    );
    assert.deepEqual(bed.failures, []);
  });
});

/** A client that may not wait for anything. */
class Impatient extends SystemScheduler implements Scheduler {
  override after(delayMs: number, callback: () => void): () => void {
    return super.after(Math.min(delayMs, 1), callback);
  }
}

describe('a connection that begins as a lean one', () => {
  const chunked = (body: string): string =>
    requestBytes('GetItem', '').toString().replace('content-length: 0\r\n\r\n', 'transfer-encoding: chunked\r\n\r\n') +
    `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const bodyOf = (at: number): string => `{"TableName":"t${at}","Key":{"a":{"N":"${at}"}}}`;

  test('is given away with what was read of it, and answers in the order of the requests', async () => {
    const waiting: (() => void)[] = [];
    const waits = operation('GetItem', async (_context, input) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return input;
    });
    const bed = await openBed({ operations: [waits] });
    const client = await RawClient.open(bed.port);
    const lean = requestBytes('GetItem', bodyOf(0));
    client.write(Buffer.concat([lean, requestBytes('GetItem', bodyOf(1)), Buffer.from(chunked(bodyOf(2))), lean]));
    await until(() => waiting.length === 2);
    waiting
      .splice(0)
      .reverse()
      .forEach((go) => {
        go();
      });
    for (const at of [0, 1]) assert.equal((await client.answer())?.body.toString(), bodyOf(at));
    for (const at of [2, 0]) {
      await until(() => waiting.length > 0);
      waiting.shift()!();
      assert.equal((await client.answer())?.body.toString(), bodyOf(at));
    }
    client.close();
    await bed.stop();
  });

  test('is given away when a request is slow, and goes on there', async () => {
    const bed = await openBed({ scheduler: new Impatient() });
    for (const [before, part] of [10, requestBytes('GetItem', GET).length - 5].entries()) {
      const client = await RawClient.open(bed.port);
      const bytes = requestBytes('GetItem', GET);
      client.write(bytes.subarray(0, part));
      // Node's server knows of a connection only when it has it.
      await until(() => bed.http.givenAway > before);
      client.write(bytes.subarray(part), bytes);
      for (const _ of [1, 2]) assert.equal((await client.answer())?.body.toString(), GET);
      client.close();
    }
    await bed.stop();
  });

  test('answers what was asked by a client that sends nothing more', async () => {
    let finish = (): void => {};
    const waits = operation(
      'GetItem',
      () =>
        new Promise((resolve) => {
          finish = () => resolve({ done: true });
        }),
    );
    const bed = await openBed({ operations: [waits] });
    const client = await RawClient.open(bed.port);
    client.write(requestBytes('GetItem', GET));
    client.socket.end();
    await until(() => bed.exchanges.counters.receivedBytes > 0);
    finish();
    assert.deepEqual(membersOf(await client.answer()), { done: true });
    assert.equal(await client.answer(), undefined);
    await bed.stop();
  });

  test('has more requests under way than it takes at once', async () => {
    let underWay = 0;
    let most = 0;
    const waits = operation('GetItem', async (_context, input) => {
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => setImmediate(resolve));
      underWay--;
      return input;
    });
    const bed = await openBed({ operations: [waits] });
    const client = await RawClient.open(bed.port);
    client.write(Buffer.concat(Array.from({ length: 300 }, (_, at) => requestBytes('GetItem', bodyOf(at)))));
    for (let at = 0; at < 300; at++) assert.equal((await client.answer())?.body.toString(), bodyOf(at));
    assert.ok(most <= 64, `${most}`);
    client.close();
    await bed.stop();
  });

  test('leaves no bytes on the account of a client that is gone', async () => {
    const late: (() => void)[] = [];
    const leaves = operation('PutItem', async (_context, input) => {
      await new Promise<void>((resolve) => late.push(resolve));
      return input;
    });
    const bed = await openBed({ budgetBytes: 3_000, operations: [echo('GetItem'), leaves] });
    const bytes = requestBytes('GetItem', `{"TableName":"abc","Key":{"a":{"S":"${'x'.repeat(1_000)}"}}}`);
    for (let times = 0; times < 5; times++) {
      const client = await RawClient.open(bed.port);
      client.write(bytes, bytes.subarray(0, 700));
      assert.equal((await client.answer())?.status, 200);
      client.close();
      const gone = await RawClient.open(bed.port);
      gone.write(requestBytes('PutItem', `{"TableName":"abc","Item":{"a":{"S":"${'x'.repeat(1_000)}"}}}`));
      await until(() => late.length > 0);
      gone.socket.resetAndDestroy();
      await until(() => bed.http.openConnections === 0);
      late.shift()!();
    }
    await bed.stop();
  });
});

describe('the port under load', () => {
  test('holds no more bodies than it has room for, and has it again afterwards', async () => {
    const bed = await openBed({ budgetBytes: 100_000 });
    const [holder, other] = [await RawClient.open(bed.port), await RawClient.open(bed.port)];
    const half = 'x'.repeat(60_000);
    const body = `{"TableName":"abc","Key":{"a":{"S":"${half}${half}"}}}`;
    const bytes = requestBytes('GetItem', body);
    holder.write(bytes.subarray(0, 110_000));
    assert.equal(membersOf(await holder.answer()).__type, 'com.amazon.coral.availability#ThrottlingException');
    holder.write(bytes.subarray(110_000));
    other.write(requestBytes('GetItem', GET));
    assert.equal((await other.answer())?.status, 200);
    holder.write(requestBytes('GetItem', GET));
    assert.equal((await holder.answer())?.status, 200);
    holder.close();
    other.close();
    await bed.stop();
  });

  test('tells an operation that nobody waits for its answer any more', async () => {
    let isAborted = false;
    let begun = false;
    const waits = operation('GetItem', async ({ signal }) => {
      begun = true;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      isAborted = true;
      return {};
    });
    const bed = await openBed({ operations: [waits] });
    const client = await RawClient.open(bed.port);
    client.write(requestBytes('GetItem', GET));
    await until(() => begun);
    client.close();
    await until(() => isAborted);
    await bed.stop();
  });

  describe('that stops', () => {
    /** Answers when it is told to, each request on its own. */
    async function openSlowBed() {
      const finishes: (() => void)[] = [];
      const waits = operation(
        'GetItem',
        () => new Promise((resolve) => finishes.push(() => resolve({ answer: finishes.length }))),
      );
      return { bed: await openBed({ operations: [waits, echo('ListTables')] }), finishes };
    }
    const closes = (answer: RawAnswer | undefined): boolean => answer?.headers.get('connection') === 'close';

    test('lets answers under way leave, says that nothing follows them, and takes no connection', async () => {
      const { bed, finishes } = await openSlowBed();
      const [client, idle] = [await RawClient.open(bed.port), await RawClient.open(bed.port)];
      client.write(requestBytes('GetItem', GET));
      await until(() => finishes.length > 0);
      const stopped = bed.stop();
      await assert.rejects(RawClient.open(bed.port));
      finishes[0]!();
      const answer = await client.answer();
      assert.deepEqual([membersOf(answer), closes(answer)], [{ answer: 1 }, true]);
      await stopped;
      assert.equal(await idle.answer(), undefined);
    });

    test('ends a connection behind the last of the requests that were sent at once', async () => {
      const { bed, finishes } = await openSlowBed();
      const client = await RawClient.open(bed.port);
      client.write(requestBytes('GetItem', GET), requestBytes('GetItem', GET));
      await until(() => finishes.length === 2);
      const stopped = bed.stop();
      // What comes behind the last one is not run: its client could not hear of it.
      client.write(requestBytes('GetItem', GET));
      for (const finish of finishes) finish();
      const answers = [await client.answer(), await client.answer()];
      assert.deepEqual(answers.map(closes), [false, true]);
      assert.equal(await client.answer(), undefined);
      await stopped;
      assert.equal(finishes.length, 2);
    });

    test('answers a client in the middle of its work once more, so that nothing breaks', async () => {
      const { bed } = await openSlowBed();
      const client = await RawClient.open(bed.port);
      client.write(requestBytes('ListTables', '{}'));
      assert.equal(closes(await client.answer()), false);
      const stopped = bed.stop();
      client.write(requestBytes('ListTables', '{}'));
      const answer = await client.answer();
      assert.deepEqual([answer?.status, closes(answer)], [200, true]);
      await stopped;
    });
  });
});

describe('what an operation fails with', () => {
  const failing = (error: Error) => operation('GetItem', () => Promise.reject(error));

  async function answerTo(error: Error): Promise<{ answer: RawAnswer; failures: unknown[] }> {
    const bed = await openBed({ operations: [failing(error)] });
    const client = await RawClient.open(bed.port);
    client.write(requestBytes('GetItem', GET));
    const answer = (await client.answer())!;
    client.close();
    await bed.stop();
    return { answer, failures: bed.failures };
  }

  test('is told as the service does, with further members', async () => {
    const { answer } = await answerTo(
      new DynamoError('TransactionCanceledException', 'cancelled', { CancellationReasons: [{ Code: 'None' }] }),
    );
    assert.equal(
      answer.body.toString(),
      '{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"cancelled","CancellationReasons":[{"Code":"None"}]}',
    );
    assert.equal(answer.headers.get('x-amz-crc32'), String(crc32(answer.body)));
  });

  test('is mapped by one table when it comes from below, and logged when nobody foresaw it', async () => {
    const known = await answerTo(new LeaderUnavailableError('no leader'));
    assert.equal(known.answer.status, 503);
    assert.deepEqual(known.failures, []);
    const unknown = await answerTo(new TypeError('x is not a function'));
    assert.equal(unknown.answer.status, 500);
    assert.equal(membersOf(unknown.answer).__type, 'com.amazonaws.dynamodb.v20120810#InternalServerError');
    assert.doesNotMatch(unknown.answer.body.toString(), /not a function/);
    assert.equal(unknown.failures.length, 1);
  });
});

describe('a port that asks for signatures', () => {
  const writer = { accessKeyId: 'W', secretAccessKey: 'w', access: 'write' } as const;
  const reader = { accessKeyId: 'R', secretAccessKey: 'r', access: 'read' } as const;

  test('refuses before the body has come', async () => {
    const bed = await openBed({ credentials: [writer] });
    const client = await RawClient.open(bed.port);
    client.write(requestBytes('GetItem', '').toString().replace('content-length: 0', 'content-length: 1000000'));
    assert.equal(
      membersOf(await client.answer()).__type,
      'com.amazon.coral.service#MissingAuthenticationTokenException',
    );
    client.close();
    await bed.stop();
  });

  test('lets a key for reading read and nothing else, over the SDK', async () => {
    const { DynamoDBClient, GetItemCommand, PutItemCommand } = await import('@aws-sdk/client-dynamodb');
    const bed = await openBed({
      credentials: [writer, reader],
      operations: [
        operation('GetItem', async ({ region, invocation }) => ({
          Item: { r: { S: region }, a: { N: `${invocation?.attempt}` } },
        })),
        echo('PutItem', 'write'),
      ],
    });
    const clientOf = ({ accessKeyId, secretAccessKey }: { accessKeyId: string; secretAccessKey: string }) =>
      new DynamoDBClient({
        endpoint: `http://127.0.0.1:${bed.port}`,
        region: 'eu-west-3',
        credentials: { accessKeyId, secretAccessKey, sessionToken: 'ignored' },
      });
    const get = new GetItemCommand({ TableName: 'abc', Key: { a: { S: 'é😀' } } });
    const put = new PutItemCommand({ TableName: 'abc', Item: { a: { B: Buffer.from([0, 255]) } } });
    const [reads, writes, stranger] = [
      clientOf(reader),
      clientOf(writer),
      clientOf({ ...writer, secretAccessKey: 'x' }),
    ];
    assert.deepEqual((await reads.send(get)).Item, { r: { S: 'eu-west-3' }, a: { N: '1' } });
    await writes.send(put);
    await assert.rejects(reads.send(put), { name: 'AccessDeniedException' });
    await assert.rejects(stranger.send(get), { name: 'InvalidSignatureException' });
    for (const client of [reads, writes, stranger]) client.destroy();
    await bed.stop();
  });
});
