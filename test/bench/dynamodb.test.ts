import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type DynamoSample, dynamoRows, formatDynamo } from '../../bench/dynamodb/report.ts';
import { KEY, RequestSigner } from '../../bench/dynamodb/signed-request.ts';
import { splitProfile } from '../../bench/dynamodb/stages.ts';
import { DYNAMO_MEASURES, type DynamoMeasure, filling, operationsOf } from '../../bench/dynamodb/ycsb.ts';
import type { ThreadTimes } from '../../bench/thread-cpu.ts';
import { readSignatureTerms, SignatureVerifier, signedValues } from '../../src/adapter/dynamodb/wire/signature.ts';

const NOW_MS = Date.parse('2026-01-31T12:34:56Z');
const signer = new RequestSigner(8000, NOW_MS);

/** A request as a node sees it. */
function read(request: Buffer): { readonly rawHeaders: string[]; readonly operation: string; readonly body: Buffer } {
  const end = request.indexOf('\r\n\r\n');
  const [, ...lines] = request.toString('latin1', 0, end).split('\r\n');
  const rawHeaders = lines.flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]);
  const operation = rawHeaders[rawHeaders.indexOf('X-Amz-Target') + 1]!.split('.')[1]!;
  return { rawHeaders, operation, body: request.subarray(end + 4) };
}

describe('requests of a load', () => {
  test('are signed as nodes check it, and have their length', () => {
    const { rawHeaders, body } = read(signer.request('GetItem', { TableName: 'é' }));
    const values = signedValues(rawHeaders);
    const credential = { ...KEY, access: 'write' as const };
    const request = { method: 'POST', url: '/', rawHeaders };
    const terms = readSignatureTerms(request, values, { find: () => credential }, NOW_MS);
    new SignatureVerifier().verify(request, values, terms, body);
    assert.equal(values.get('content-length'), String(body.length));
  });

  test('are of the kinds that the workload has, in about its shares', () => {
    const share = (measure: DynamoMeasure, wanted: string): number => {
      const operations = operationsOf(signer, measure, 100, 3, 800);
      const kinds = operations.map((requests) => requests.map((request) => read(request).operation).join());
      return kinds.filter((kind) => kind === wanted).length / kinds.length;
    };
    const about = (found: number, wanted: number): void => assert.ok(Math.abs(found - wanted) < 0.05, `${found}`);
    about(share('ycsbA', 'UpdateItem'), 0.5);
    about(share('ycsbB', 'UpdateItem'), 0.05);
    about(share('ycsbC', 'GetItem'), 1);
    about(share('ycsbF', 'GetItem,UpdateItem'), 0.5);
    assert.equal(share('putItem5', 'PutItem'), 1);
  });

  test('want few records often', () => {
    const counts = new Map<string, number>();
    for (const [request] of operationsOf(signer, 'ycsbC', 1000, 4, 1_000)) {
      const key = read(request!).body.toString();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const most = [...counts.values()].sort((one, other) => other - one);
    assert.ok(most[0]! > 10 * most[100]!, String(most.slice(0, 5)));
  });

  test('fill a table with every record once', () => {
    const records = filling(signer, 'putItem1', 60).flatMap(([request]) => {
      const { RequestItems } = JSON.parse(read(request!).body.toString()) as {
        RequestItems: Record<string, { PutRequest: { Item: { k: { S: string }; g0: { S: string } } } }[]>;
      };
      return RequestItems['usertable-1']!.map(({ PutRequest }) => PutRequest.Item.k.S);
    });
    assert.equal(new Set(records).size, 60);
    assert.equal(records.length, 60);
  });
});

describe('the report of DynamoDB', () => {
  const threads = (main: number): ThreadTimes => ({ main, pool: 7, leveldb: 0, v8: 2, other: 0 });
  const sample = (measure: DynamoMeasure, system: DynamoSample['system'], perSecond: number, p99Ms: number) => ({
    ...{ measure, system, perSecond, p99Ms, p50Ms: p99Ms / 2, clientBusy: 0.5 },
    cpuUs: { asked: threads(91), behind: threads(11), client: 30 },
  });
  const rows = dynamoRows(
    [
      ...[6_000, 6_500, 5_500].map((rate) => sample('ycsbA', 'kvorum', rate, 4)),
      ...[1_500, 1_300, 1_500].map((rate) => sample('ycsbA', 'dynalite', rate, 5)),
      sample('ycsbB', 'kvorum', 6_000, 6),
      sample('ycsbB', 'dynalite', 1_500, 5),
      sample('ycsbC', 'kvorum', 2_000, 1),
      sample('ycsbC', 'dynalite', 1_500, 5),
      sample('getItem', 'kvorum', 9_999, 3),
      sample('getItem', 'bare', 40_000, 1),
      ...[5_000, 6_300].map((rate) => sample('putItem', 'kvorum', rate, 3)),
      sample('putItem5', 'kvorum', 800, 3),
    ],
    true,
  );
  const row = (measure: DynamoMeasure) => rows.find((each) => each.measure === measure)!;

  test('holds the median of a workload against that of dynalite, and its p99', () => {
    assert.deepEqual([row('ycsbA').ratio, row('ycsbA').p99Ratio, row('ycsbA').passed], [4, 0.8, true]);
    assert.deepEqual(row('ycsbA').ratios, [4, 5, 5_500 / 1_500]);
    assert.deepEqual([row('ycsbB').ratio, row('ycsbB').passed], [4, false], 'its p99 is worse');
    assert.equal(row('ycsbC').passed, false, 'it is not three times as fast');
  });

  test('holds single requests against their aims, and judges nothing that has none', () => {
    assert.deepEqual([row('getItem').passed, row('putItem').passed, row('putItem5').passed], [false, true, undefined]);
    assert.equal(rows.length, 6);
  });

  test('judges nothing whose rounds lie far apart, nor what was measured beside others', () => {
    assert.deepEqual([row('ycsbA').isQuiet, row('putItem').isQuiet], [true, false]);
    const text = formatDynamo(rows, []);
    assert.match(text, /PutItem, no index +5,000 \/ 5,650 \/ 6,300 +- +- +>= 5,000\/s +not judged/);
    const [busy] = dynamoRows([sample('getItem', 'kvorum', 9_999, 3)], false);
    assert.match(formatDynamo([busy!], []), /GetItem, consistent .* not judged/);
  });

  test('shows everything', () => {
    const stages = { http: 10, sigv4: 20, json: 5, expression: 1, item: 4, kv: 30, other: 2 };
    const text = formatDynamo(rows, [{ measure: 'getItem', requests: 7, stages }]);
    const { title } = DYNAMO_MEASURES.ycsbA;
    assert.match(
      text,
      new RegExp(
        `${title} +5,500 / 6,000 / 6,500 +1,300 / 1,500 / 1,500 +3\\.67x / 4\\.00x / 5\\.00x +>= 3x, p99 no worse +pass`,
      ),
    );
    assert.match(text, new RegExp(`${title} +2\\.00 ms +2\\.50 ms +4\\.00 ms +5\\.00 ms +0\\.80x`));
    assert.match(text, /GetItem, consistent +kvorum, asked +100 +91\.0 +7\.0 +0\.0 +2\.0 +0\.0 +30/);
    assert.match(text, /GetItem, consistent +kvorum, other nodes +20 +11\.0 +7\.0 +0\.0 +2\.0 +0\.0 +-/);
    assert.match(text, /GetItem, consistent +who does nothing +100 +91\.0/);
    assert.match(text, /GetItem, consistent +10\.0 +20\.0 +5\.0 +1\.0 +4\.0 +30\.0 +2\.0 +72\.0/);
  });
});

describe('the split of a profile', () => {
  const frame = (id: number, functionName: string, url: string, ...children: number[]) => ({
    id,
    callFrame: { functionName, url, scriptId: '1', lineNumber: 0, columnNumber: 0 },
    children,
  });
  const at = (path: string): string => `file:///kvorum/src/adapter/dynamodb/${path}`;

  test('gives what has no place of its own to who has called it, and nothing to idleness', () => {
    const nodes = [
      frame(1, '(root)', '', 2, 8, 9, 10),
      frame(2, 'onRequest', 'node:_http_server', 3),
      frame(3, 'serve', at('wire/exchange.ts'), 4, 6),
      frame(4, 'verify', at('wire/signature.ts'), 5),
      frame(5, 'createHash', 'node:internal/crypto/hash'),
      frame(6, 'parse', '', 7),
      frame(7, 'get', 'file:///kvorum/src/kv/leader/view.ts'),
      frame(8, '(idle)', ''),
      frame(9, '(garbage collector)', ''),
      frame(10, '(program)', ''),
    ];
    const samples = [2, 5, 6, 7, 8, 9, 10];
    const timeDeltas = [10, 20, 40, 80, 1000, 160, 2000];
    // The processor was there for half of the time that was sampled.
    const times = splitProfile({ nodes, startTime: 0, endTime: 0, samples, timeDeltas }, 155, 10);
    assert.deepEqual(times, { http: 2.5, sigv4: 1, json: 0, expression: 0, item: 0, kv: 4, other: 8 });
  });
});
