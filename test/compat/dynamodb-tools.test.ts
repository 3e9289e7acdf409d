/** The AWS command line and boto3 over three nodes, where they are installed. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ProcessNodes } from '../support/process-nodes.ts';
import { skipWithout } from '../support/programs.ts';

const run = promisify(execFile);
const TOUR = fileURLToPath(new URL('./dynamodb-tour.py', import.meta.url));
const NODES = [1, 2, 3];

describe('tools over three nodes', { timeout: 240_000 }, () => {
  const withoutCli = skipWithout('awscli');
  const withoutBoto = skipWithout('boto3');
  let folder = '';
  let cluster: ProcessNodes;

  before(async () => {
    if (withoutCli !== false && withoutBoto !== false) return;
    folder = await mkdtemp(join(tmpdir(), 'kvorum-dynamodb-tools-'));
    const file = join(folder, 'credentials');
    await writeFile(file, '[default]\naws_access_key_id = writer\naws_secret_access_key = the secret of writer\n');
    cluster = await ProcessNodes.start({ 'dynamodb.credentialsFile': file });
  });
  after(async () => {
    await cluster?.stop();
    if (folder !== '') await rm(folder, { recursive: true, force: true });
  });

  test('boto3 does what it does on the service', { skip: withoutBoto }, async () => {
    const ports = NODES.map((node) => String(cluster.dynamodbPort(node)));
    const { stdout, stderr } = await run('python3', [TOUR, ...ports]);
    assert.equal(stdout + stderr, '');
  });

  test('the command line makes a table, writes, reads, queries and is refused', { skip: withoutCli }, async () => {
    // The file of the nodes is the file of the command line.
    const env = {
      ...process.env,
      AWS_SHARED_CREDENTIALS_FILE: join(folder, 'credentials'),
      AWS_DEFAULT_REGION: 'eu-west-1',
      AWS_PAGER: '',
    };
    let calls = 0;
    const aws = async (...args: string[]): Promise<unknown> => {
      const endpoint = `http://127.0.0.1:${cluster.dynamodbPort(NODES[calls++ % NODES.length]!)}`;
      const { stdout } = await run('aws', ['dynamodb', ...args, '--endpoint-url', endpoint, '--output', 'json'], {
        env,
      });
      return stdout.trim() === '' ? undefined : JSON.parse(stdout);
    };
    const table = ['--table-name', 'by-hand'];
    const made = await aws(
      ...['create-table', ...table, '--billing-mode', 'PAY_PER_REQUEST'],
      ...['--attribute-definitions', 'AttributeName=p,AttributeType=S', 'AttributeName=s,AttributeType=N'],
      ...['--key-schema', 'AttributeName=p,KeyType=HASH', 'AttributeName=s,KeyType=RANGE'],
    );
    assert.equal((made as { TableDescription: { TableStatus: string } }).TableDescription.TableStatus, 'CREATING');
    await aws('wait', 'table-exists', ...table);
    await aws('put-item', ...table, '--item', '{"p": {"S": "a"}, "s": {"N": "1"}, "n": {"N": "41"}}');
    const updated = await aws(
      ...['update-item', ...table, '--key', '{"p": {"S": "a"}, "s": {"N": "1.0"}}', '--return-values', 'UPDATED_NEW'],
      ...['--update-expression', 'SET n = n + :one', '--expression-attribute-values', '{":one": {"N": "1"}}'],
    );
    assert.deepEqual(updated, { Attributes: { n: { N: '42' } } });
    const queried = await aws(
      ...['query', ...table, '--key-condition-expression', 'p = :p', '--consistent-read'],
      ...['--expression-attribute-values', '{":p": {"S": "a"}}'],
    );
    assert.equal((queried as { Count: number }).Count, 1);
    await assert.rejects(
      aws('put-item', ...table, '--item', '{"p": {"S": "a"}, "s": {"N": "1"}}', '--condition-expression', 'n < s'),
      /ConditionalCheckFailedException.*The conditional request failed/,
    );
  });
});
