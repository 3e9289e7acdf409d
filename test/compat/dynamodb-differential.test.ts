import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { freePortRange } from '../../bench/scratch.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';
import { CASES, TABLE } from './dynamodb-cases.ts';

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly message: string | undefined;
  /** Without what names the exception. */
  readonly members: unknown;
}

const HEADERS = {
  'content-type': 'application/x-amz-json-1.0',
  authorization:
    'AWS4-HMAC-SHA256 Credential=a/20260131/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=b',
  'x-amz-date': '20260131T000000Z',
};

async function ask(port: number, operation: string, body: unknown): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${port}/`, {
    method: 'POST',
    headers: { ...HEADERS, 'x-amz-target': `DynamoDB_20120810.${operation}` },
    body: JSON.stringify(body),
  });
  const { __type: type, message, Message: capital, ...members } = (await response.json()) as Record<string, string>;
  return { status: response.status, type: type?.replace(/^.*#/, ''), message: message ?? capital, members };
}

/** Sets have no order: kvorum answers them sorted, dynalite as they were sent. */
function inOrder(tree: unknown): unknown {
  if (typeof tree !== 'object' || tree === null) return tree;
  if (Array.isArray(tree)) return tree.map(inOrder);
  const members = Object.entries(tree).map(([name, value]): [string, unknown] =>
    /^[SNB]S$/.test(name) && Array.isArray(value) ? [name, [...value].sort()] : [name, inOrder(value)],
  );
  return Object.fromEntries(members);
}

describe('answers beside those of dynalite', { timeout: 240_000 }, () => {
  let cluster: ProcessNodes;
  let other: ChildProcess;
  let ours = 0;
  let theirs = 0;

  before(async () => {
    theirs = await freePortRange(1);
    const program = import.meta.resolve('dynalite/cli.js').slice('file://'.length);
    other = spawn(process.execPath, [program, '--port', String(theirs), '--createTableMs', '0'], { stdio: 'ignore' });
    cluster = await ProcessNodes.start({ nodes: 1, 'dynamodb.unsigned': true });
    ours = cluster.dynamodbPort(1);
    await until('dynalite listens', () =>
      fetch(`http://127.0.0.1:${theirs}/`).then(
        () => true,
        () => false,
      ),
    );
    for (const port of [ours, theirs]) {
      assert.equal((await ask(port, 'CreateTable', TABLE)).status, 200);
      await until('the table is there', async () => {
        const { members } = await ask(port, 'DescribeTable', { TableName: TABLE.TableName });
        return (members as { Table: { TableStatus: string } }).Table.TableStatus === 'ACTIVE';
      });
    }
  });
  after(async () => {
    other.kill('SIGKILL');
    await cluster?.stop();
  });

  test('are the same but for what is said of them', async () => {
    const differences: unknown[] = [];
    for (const { operation, body, difference } of CASES) {
      const [mine, its] = [await ask(ours, operation, body), await ask(theirs, operation, body)];
      const isSame = isDeepStrictEqual(inOrder(mine), inOrder(its));
      if (isSame === (difference === undefined)) continue;
      differences.push({ operation, body: JSON.stringify(body), mine, its, difference });
    }
    assert.deepEqual(differences, []);
  });
});
