import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { SignatureV4 } from '@smithy/signature-v4';
import fc from 'fast-check';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import type { Credential } from '../../../../src/adapter/dynamodb/wire/credentials.ts';
import {
  compactTime,
  readSignatureTerms,
  SignatureVerifier,
  type SignedRequest,
  signedValues,
} from '../../../../src/adapter/dynamodb/wire/signature.ts';

const NOW_MS = Date.parse('2026-01-31T12:34:56Z');
const CREDENTIAL: Credential = { accessKeyId: 'AKID', secretAccessKey: 'a secret', access: 'write' };
const CREDENTIALS = { find: (id: string) => (id === CREDENTIAL.accessKeyId ? CREDENTIAL : undefined) };

/** SHA-256 as the signer of the SDK wants it. */
class Sha256 {
  private readonly hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.hash =
      secret === undefined
        ? createHash('sha256')
        : createHmac('sha256', typeof secret === 'string' ? secret : Buffer.from(secret as Uint8Array));
  }

  update(chunk: string | ArrayBuffer | ArrayBufferView): void {
    this.hash.update(typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array));
  }

  async digest(): Promise<Uint8Array> {
    return this.hash.digest();
  }

  reset(): void {}
}

interface Unsigned {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly region: string;
  readonly query: Readonly<Record<string, string>>;
  readonly secret: string;
}

const PLAIN: Unsigned = { headers: {}, body: '{}', region: 'eu-west-1', query: {}, secret: CREDENTIAL.secretAccessKey };

async function signed(part: Partial<Unsigned>, atMs = NOW_MS): Promise<Sent> {
  const { headers, body, region, query, secret } = { ...PLAIN, ...part };
  const signer = new SignatureV4({
    credentials: { accessKeyId: CREDENTIAL.accessKeyId, secretAccessKey: secret },
    region,
    service: 'dynamodb',
    sha256: Sha256,
  });
  const request = await signer.sign(
    {
      method: 'POST',
      protocol: 'http:',
      hostname: 'localhost',
      path: '/',
      query: { ...query },
      headers: { host: 'localhost:8000', 'x-amz-target': 'DynamoDB_20120810.GetItem', ...headers },
      body,
    },
    { signingDate: new Date(atMs) },
  );
  const pairs = Object.entries(query).map(
    ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`,
  );
  return {
    method: 'POST',
    url: pairs.length === 0 ? '/' : `/?${pairs.join('&')}`,
    rawHeaders: Object.entries(request.headers).flat(),
    body: Buffer.from(body),
  };
}

/** A request as it comes. */
interface Sent extends SignedRequest {
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

/** By a verifier that knows nothing yet. */
function check(request: Sent, nowMs = NOW_MS): void {
  const values = signedValues(request.rawHeaders);
  const terms = readSignatureTerms(request, values, CREDENTIALS, nowMs);
  new SignatureVerifier().verify(request, values, terms, request.body);
}

/** By one that may have seen the like of it. */
function checkAgain(verifier: SignatureVerifier, request: Sent, nowMs = NOW_MS, credentials = CREDENTIALS): void {
  const values = signedValues(request.rawHeaders);
  verifier.verify(request, values, verifier.terms(request, values, credentials, nowMs), request.body);
}

function refusal(request: Sent, nowMs = NOW_MS): { type: string; message: string } {
  try {
    check(request, nowMs);
  } catch (error) {
    assert.ok(error instanceof DynamoError);
    return { type: error.type, message: error.message };
  }
  return assert.fail('the signature was taken');
}

/** The request with one of its headers changed, or without it. */
function withHeader(request: Sent, name: string, change: (value: string) => string | undefined): Sent {
  const rawHeaders: string[] = [];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const [given, value] = [request.rawHeaders[at]!, request.rawHeaders[at + 1]!];
    const changed = given.toLowerCase() === name ? change(value) : value;
    if (changed !== undefined) rawHeaders.push(given, changed);
  }
  return { ...request, rawHeaders };
}

const token = fc.string({ unit: fc.constantFrom(...'abcxyz019-_.~'), minLength: 1, maxLength: 12 });
const unsigned = fc.record({
  headers: fc.dictionary(
    token.map((name) => `x-amz-meta-${name.replaceAll('~', '')}`),
    fc.string({ unit: fc.constantFrom(...'ab  ,;="/'), maxLength: 12 }).map((text) => text.trim()),
    { maxKeys: 4 },
  ),
  body: fc.string({ maxLength: 50 }),
  region: fc.constantFrom('us-east-1', 'eu-central-1', 'local'),
  query: fc.dictionary(token, fc.string({ unit: fc.constantFrom(..."ab +&=%/é!*'"), maxLength: 8 }), { maxKeys: 3 }),
});

describe('a signature', () => {
  test('that the signer of the SDK makes is right, whatever is signed', async () => {
    await fc.assert(
      fc.asyncProperty(unsigned, async (part) => {
        check(await signed(part));
      }),
      { numRuns: 200 },
    );
  });

  test('has the parts of a query in the order of their names', async () => {
    check(await signed({ query: { a1: 'x', a: 'y', 'a-': 'z' } }));
  });

  test('is wrong when body, time, target, region, key or an unlisted part of it is another', async () => {
    const request = await signed({ body: '{"TableName":"t"}' });
    const wrong = 'InvalidSignatureException';
    assert.equal(refusal({ ...request, body: Buffer.from('{"TableName":"u"}') }).type, wrong);
    assert.equal(refusal({ ...request, url: '/?a=b' }).type, wrong);
    assert.equal(refusal({ ...request, method: 'PUT' }).type, wrong);
    const change = (name: string, to: (value: string) => string | undefined) => refusal(withHeader(request, name, to));
    assert.equal(change('x-amz-target', () => 'DynamoDB_20120810.PutItem').type, wrong);
    assert.equal(change('host', () => 'elsewhere').type, wrong);
    assert.equal(change('x-amz-date', (value) => value.replace('56Z', '57Z')).type, wrong);
    assert.equal(change('authorization', (value) => value.replace('eu-west-1', 'eu-west-2')).type, wrong);
    assert.equal(
      change('authorization', (value) => value.replace(/.$/, (last) => (last === '0' ? '1' : '0'))).type,
      wrong,
    );
    assert.equal(change('authorization', (value) => `${value}00`).type, wrong);
    assert.match(
      refusal(await signed({ secret: 'another secret' })).message,
      /^The request signature we calculated does not match/,
    );
  });

  test('has to cover the host and the target', async () => {
    const request = await signed({});
    const without = (name: string) =>
      refusal(withHeader(request, 'authorization', (value) => value.replace(new RegExp(`${name};|;${name}(?=,)`), '')))
        .message;
    assert.equal(without('host'), "'Host' must be a 'SignedHeader' in the AWS Authorization.");
    assert.equal(without('x-amz-target'), "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.");
  });

  test('counts a quarter of an hour before and after its time', async () => {
    const request = await signed({});
    const quarterMs = 15 * 60_000;
    check(request, NOW_MS + quarterMs);
    check(request, NOW_MS - quarterMs);
    assert.deepEqual(refusal(request, NOW_MS + quarterMs + 1000), {
      type: 'InvalidSignatureException',
      message: 'Signature expired: 20260131T123456Z is now earlier than 20260131T123457Z (20260131T124957Z - 15 min.)',
    });
    assert.deepEqual(refusal(request, NOW_MS - quarterMs - 1000), {
      type: 'InvalidSignatureException',
      message:
        'Signature not yet current: 20260131T123456Z is still later than 20260131T123455Z (20260131T121955Z + 15 min.)',
    });
  });

  test('may have its parts with blanks or without, repeated headers joined, and the time of HTTP', async () => {
    const request = await signed({ headers: { 'x-amz-meta-a': '1,2' } });
    check(withHeader(request, 'authorization', (value) => value.replaceAll(', ', ',')));
    const split = withHeader(request, 'x-amz-meta-a', () => undefined);
    check({ ...split, rawHeaders: [...split.rawHeaders, 'X-Amz-Meta-A', ' 1 ', 'x-amz-meta-a', '2'] });
    const day = withHeader(await signed({}), 'x-amz-date', () => undefined);
    const message = refusal({
      ...day,
      rawHeaders: [...day.rawHeaders, 'Date', 'Sat, 31 Jan 2026 12:34:56 GMT'],
    }).message;
    // The date is read: what is wrong is that it was not what was signed.
    assert.match(message, /^The request signature we calculated/);
  });

  test('that is missing, incomplete or of another kind is told apart', async () => {
    const request = await signed({});
    const header = (value: string | undefined) => refusal(withHeader(request, 'authorization', () => value));
    assert.deepEqual(header(undefined), {
      type: 'MissingAuthenticationTokenException',
      message: 'Request is missing Authentication Token',
    });
    assert.equal(header('Basic abc').type, 'MissingAuthenticationTokenException');
    assert.deepEqual(header('AWS4-HMAC-SHA256 Signature=b'), {
      type: 'IncompleteSignatureException',
      message:
        "Authorization header requires 'Credential' parameter. Authorization header requires 'SignedHeaders' parameter. " +
        'Authorization=AWS4-HMAC-SHA256 Signature=b',
    });
    const terms = 'SignedHeaders=host;x-amz-target, Signature=b';
    const scope = (credential: string) => header(`AWS4-HMAC-SHA256 Credential=${credential}, ${terms}`);
    assert.match(
      header(`AWS4-ECDSA-P256-SHA256 Credential=AKID/20260131/r/dynamodb/aws4_request, ${terms}`).message,
      /^Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'/,
    );
    assert.match(scope('a/b/c/d').message, /^Credential must have exactly 5 slash-delimited elements/);
    assert.equal(
      scope('AKID/20260130/r/s3/aws5').message,
      "Credential should be scoped to correct service: 'dynamodb'. " +
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'. " +
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260130' != '20260131', from '20260131T123456Z'.",
    );
    assert.deepEqual(scope('nobody/20260131/r/dynamodb/aws4_request'), {
      type: 'UnrecognizedClientException',
      message: 'The security token included in the request is invalid.',
    });
    assert.match(refusal({ ...request, url: '/?X-Amz-Algorithm=AWS4-HMAC-SHA256' }).message, /^Found both/);
    assert.match(
      refusal(withHeader(request, 'x-amz-date', () => 'yesterday')).message,
      /^Date must be in ISO-8601 'basic format'. Got 'yesterday'/,
    );
    assert.match(
      refusal(withHeader(request, 'x-amz-date', () => undefined)).message,
      /^Authorization header requires existence of either/,
    );
  });

  test('of a key whose secret was changed is wrong at once', async () => {
    let current: Credential = { ...CREDENTIAL, secretAccessKey: 'old' };
    const credentials = { find: () => current };
    const verifier = new SignatureVerifier();
    const verify = (request: Sent): void => checkAgain(verifier, request, NOW_MS, credentials);
    const [old, renewed] = [await signed({ secret: 'old' }), await signed({ secret: 'new' })];
    verify(old);
    current = { ...CREDENTIAL, secretAccessKey: 'new' };
    verify(renewed);
    assert.throws(() => verify(old), DynamoError);
  });

  test('is judged by a verifier that has seen its like as by one that has not', async () => {
    const verifier = new SignatureVerifier();
    const again = (request: Sent, nowMs?: number): void => checkAgain(verifier, request, nowMs);
    const seen = [await signed({}), await signed({ region: 'us-east-1', body: '{"TableName":"t"}' })];
    for (const request of seen) for (let times = 0; times < 2; times++) again(request);
    const late = await signed({ body: '[]' }, NOW_MS + 1_000);
    again(late, NOW_MS + 1_000);
    const verdicts = (request: Sent, nowMs = NOW_MS): void => {
      // The second time it may have been kept.
      const [plain, ...quick] = [check, again, again].map((judge) => {
        try {
          judge(request, nowMs);
          return 'right';
        } catch (error) {
          return `${(error as DynamoError).type}: ${(error as Error).message}`;
        }
      });
      assert.deepEqual(quick, [plain, plain]);
    };
    const changes: readonly ((value: string) => string | undefined)[] = [
      () => undefined,
      (value) => value.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
      (value) => `${value}, Signature=${'0'.repeat(64)}`,
      (value) => `${value}, SignedHeaders=host`,
      (value) => `${value}, XSignature=${'0'.repeat(64)}`,
      (value) => value.replace('AKID', 'nobody'),
      (value) => value.replace('eu-west-1', 'us-east-1'),
      (value) => value.replaceAll(', ', ','),
      (value) => value.replace('0131', '0130'),
      (value) => value.replace(/(Credential=\S+) (SignedHeaders=\S+), (.*)$/, '$3, $2 $1'),
      (value) => value.toUpperCase(),
    ];
    for (const request of [...seen, late]) {
      for (const name of ['authorization', 'x-amz-date', 'host', 'x-amz-target']) {
        for (const change of changes) verdicts(withHeader(request, name, change));
      }
      verdicts({ ...request, url: '/?x-amz-signature=a' });
      verdicts(request, NOW_MS + 20 * 60_000);
      verdicts(request, NOW_MS - 20 * 60_000);
      verdicts({ ...request, body: Buffer.from('{}x') });
    }
    const midnightMs = Date.parse('2026-02-01T00:00:00Z');
    const evening = await signed({}, midnightMs - 1_000);
    again(evening, midnightMs);
    verdicts(
      withHeader(evening, 'x-amz-date', () => '20260201T000001Z'),
      midnightMs,
    );
  });

  test('never ends in anything but an exception of the service, whatever the headers are', () => {
    const header = fc.tuple(
      fc.constantFrom('authorization', 'x-amz-date', 'date', 'host', 'x-amz-target'),
      fc.oneof(
        fc.string(),
        fc.constantFrom(
          'AWS4-HMAC-SHA256 Credential=AKID/20260131/r/dynamodb/aws4_request, SignedHeaders=host;x-amz-target, Signature=00',
          'AWS4-HMAC-SHA256 Credential=,SignedHeaders=;;,Signature=',
          'AWS4-',
          compactTime(NOW_MS),
          '99999999T999999Z',
        ),
      ),
    );
    fc.assert(
      fc.property(fc.array(header, { maxLength: 6 }), fc.string(), (headers, query) => {
        const request = { method: 'POST', url: `/?${query}`, rawHeaders: headers.flat(), body: Buffer.alloc(0) };
        refusal(request);
      }),
      { numRuns: 500 },
    );
  });
});
