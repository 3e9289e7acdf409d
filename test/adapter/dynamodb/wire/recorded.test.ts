/** Requests of real clients, byte for byte as they were sent once, and the bytes that they are answered. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { SystemClock } from '../../../../src/platform/index.ts';
import { openBed } from './port-bed.ts';

interface Recorded {
  readonly client: string;
  readonly request: string;
}

const RECORDED: readonly Recorded[] = JSON.parse(
  readFileSync(new URL('recorded-requests.json', import.meta.url), 'utf8'),
) as Recorded[];
const KEY = { accessKeyId: 'AKIDRECORDED', secretAccessKey: 'secret-of-the-record', access: 'write' } as const;

/** The wall clock of another day. */
class ClockThen extends SystemClock {
  private readonly thenMs: number;

  constructor(thenMs: number) {
    super();
    this.thenMs = thenMs;
  }

  override nowMs(): number {
    return this.thenMs;
  }
}

/** When a request was signed. */
function timeOf(request: string): number {
  const [, day, time] = /^x-amz-date: (\d{8})T(\d{6})Z\r$/im.exec(request)!;
  return Date.parse(`${day!.replace(/(....)(..)(..)/, '$1-$2-$3')}T${time!.replace(/(..)(..)(..)/, '$1:$2:$3')}Z`);
}

/** Writes bytes and takes what comes, until the body is there that is waited for. */
function exchange(port: number, request: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (more) => {
      answer += more;
      if (answer.endsWith(body)) socket.destroy();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

describe('a recorded request', () => {
  for (const { client, request } of RECORDED) {
    test(`of ${client} is answered as it expects`, async (t) => {
      const bed = await openBed({ credentials: [KEY], clock: new ClockThen(timeOf(request)) });
      t.after(() => bed.stop());
      // What it asks is told back, as the adapter writes JSON.
      const body = JSON.stringify(JSON.parse(request.slice(request.indexOf('\r\n\r\n') + 4)));
      const answer = await exchange(bed.port, request, body);
      const masked = answer.replace(/(Date|x-amzn-RequestId): [^\r]+/gi, (_, name: string) => `${name}: *`);
      const [head, told] = masked.split('\r\n\r\n');
      const [status, ...headers] = head!.split('\r\n');
      assert.deepEqual(
        [status, headers.sort(), told],
        [
          'HTTP/1.1 200 OK',
          [
            'Connection: keep-alive',
            `Content-Length: ${Buffer.byteLength(body)}`,
            'Content-Type: application/x-amz-json-1.0',
            'Date: *',
            'Keep-Alive: timeout=120',
            'Server: Server',
            `x-amz-crc32: ${crc32(body)}`,
            'x-amzn-RequestId: *',
          ],
          body,
        ],
      );
    });
  }

  test('is refused when one byte of it is another', async (t) => {
    for (const { request } of RECORDED) {
      const bed = await openBed({ credentials: [KEY], clock: new ClockThen(timeOf(request)) });
      t.after(() => bed.stop());
      const answer = await exchange(bed.port, request.replace('"abc"', '"abd"'), '"}');
      assert.match(answer, /^HTTP\/1.1 400 [\s\S]*InvalidSignatureException/);
    }
  });
});
