/** Heads that are read without node's parser: nothing else than node would make of them, or nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { NodeHead, parseLeanHead } from '../../../../src/adapter/dynamodb/wire/head.ts';
import { listenOn } from '../../../../src/platform/index.ts';

const FIRST = 'POST / HTTP/1.1';
const HEAD = [
  FIRST,
  'Host: localhost:8000',
  'content-type:application/x-amz-json-1.0',
  'X-Amz-Target: DynamoDB_20120810.GetItem',
  'Authorization: AWS4-HMAC-SHA256 Credential=a/b/c/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=00',
  'Content-Length: 12',
  'Connection: Keep-Alive',
];
const text = (...lines: readonly string[]): string => lines.join('\r\n');
const withLine = (line: string): string => text(...HEAD, line);

describe('a lean head', () => {
  test('is what SDKs send', () => {
    const head = parseLeanHead(text(...HEAD))!;
    assert.equal(head.bodyBytes, 12);
    assert.equal(head.header('host'), 'localhost:8000');
    assert.equal(head.header('x-amz-target'), 'DynamoDB_20120810.GetItem');
    assert.equal(head.header('content-type'), 'application/x-amz-json-1.0');
    assert.equal(head.header('cookie'), undefined);
  });

  test('is nothing that could mean anything else', () => {
    const others = [
      text('POST / HTTP/1.0', ...HEAD.slice(1)),
      text('POST /a HTTP/1.1', ...HEAD.slice(1)),
      text('GET / HTTP/1.1', ...HEAD.slice(1)),
      text(...HEAD.filter((line) => !line.startsWith('Host'))),
      text(...HEAD.filter((line) => !line.startsWith('Content-Length'))),
      ...['+1', '1 2', '0x1', '-1', '1e3', '9999999999'].map((length) =>
        text(...HEAD).replace('Length: 12', `Length: ${length}`),
      ),
      text(...HEAD).replace('Keep-Alive', 'close'),
      ...['Transfer-Encoding: chunked', 'Expect: 100-continue', 'Upgrade: h2c', 'Trailer: x', 'TE: trailers'].map(
        withLine,
      ),
      ...['content-length: 12', 'a: b\r\nA: b', ' folded', 'a : b', 'a\t: b', ': b', 'a', 'a:', 'a: ', 'a: b '].map(
        withLine,
      ),
      ...['a:  b', 'a: b  c', 'a: b\tc', 'a: b\nc: d', 'a: b\rc', 'a: \0', 'a: é', 'a: b\r'].map(withLine),
    ];
    for (const other of others) assert.equal(parseLeanHead(other), undefined, JSON.stringify(other.slice(-60)));
  });
});

describe('a head beside what node makes of it', () => {
  let server: Server;
  let port: number;
  const seen: NodeHead[] = [];
  before(async () => {
    server = createServer((request: IncomingMessage, response) => {
      seen.push(new NodeHead(request));
      response.end();
    });
    port = await listenOn(server, '127.0.0.1', 0);
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  test('is the same, whatever was damaged', async () => {
    const good = text(...HEAD);
    const place = fc.nat(good.length - 1);
    const inserted = fc.constantFrom(
      ...['\r\n', '\r', '\n', ' ', ':', '\t', '\0', 'x', '\r\nte: x', '\r\n\r\n', '\xe9', ','],
    );
    const damage = fc.array(fc.tuple(place, fc.nat(2), inserted), { minLength: 0, maxLength: 3 });
    let leanOnes = 0;
    await fc.assert(
      fc.asyncProperty(damage, async (places) => {
        let head = good;
        for (const [at, removed, added] of places) head = head.slice(0, at) + added + head.slice(at + removed);
        const end = head.indexOf('\r\n\r\n');
        const lean = parseLeanHead(end < 0 ? head : head.slice(0, end));
        if (lean === undefined) return;
        leanOnes++;
        seen.length = 0;
        const socket = connect(port, '127.0.0.1').on('error', () => {});
        socket.write(Buffer.from(`${head}\r\n\r\n`, 'latin1'));
        await Promise.race([once(socket, 'data'), once(socket, 'close')]);
        socket.destroy();
        const [first] = seen;
        assert.ok(first !== undefined, JSON.stringify(head));
        assert.deepEqual([first.method, first.url], [lean.method, lean.url]);
        assert.deepEqual(new Map(lean.values), new Map(first.values));
        for (const name of lean.values.keys()) assert.equal(lean.header(name), first.header(name));
      }),
      { numRuns: 400 },
    );
    assert.ok(leanOnes > 20, `${leanOnes}`);
  });
});
