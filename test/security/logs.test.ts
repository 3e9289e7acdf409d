import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BalanceReport } from '../../src/cluster/contract/balance.ts';
import { BackgroundLog, shownBalance, shownError } from '../../src/node/log-redaction.ts';
import { type ErrorDisposition, KvorumError } from '../../src/platform/index.ts';

const KEY = 'session:alice';

/** An error as the layers below make them: with facts for the caller. */
class KeyedError extends KvorumError {
  readonly code = 'KEYED';
  readonly disposition: ErrorDisposition = 'wait';
  readonly key = Buffer.from(KEY);
  readonly value = `value of ${KEY}`;
}

const written = (facts: object): string => `${JSON.stringify(facts)}${Buffer.from(JSON.stringify(facts)).toString()}`;
const bytesOfKey = [...Buffer.from(KEY)].join(',');

test('the log has what an error says, and none of the keys and values that it carries', () => {
  const error = new KeyedError('the range is busy', { cause: new Error(KEY) });
  const facts = shownError(error);
  assert.deepEqual(Object.keys(facts), ['type', 'code', 'message', 'stack']);
  assert.ok(!written(facts).includes(KEY) && !written(facts).includes(bytesOfKey));
  assert.deepEqual(shownError('text'), { message: 'text' });
});

test('the log has what balancing does to which range, and not at which keys', () => {
  const report = {
    atMs: 0,
    duty: 'autosplit',
    event: 'failed',
    action: { kind: 'split', routeId: 7, keys: [Buffer.from(KEY)], reason: `half of its load lies below '${KEY}'` },
    text: `half of its load lies below '${KEY}': no`,
  } as unknown as BalanceReport;
  assert.deepEqual(shownBalance(report), { rule: 'autosplit', event: 'failed', action: 'split', routeId: 7 });
  assert.deepEqual(shownBalance({ ...report, action: undefined }), { rule: 'autosplit', event: 'failed' });
});

test('what fails every second in the background is told once in ten, with how often it was', () => {
  const lines: string[] = [];
  let nowMs = 0;
  const line = (level: string) => (fields: object) => {
    const { repeated } = fields as { repeated?: number };
    lines.push(`${nowMs} ${level} ${repeated ?? 0}`);
  };
  const log = new BackgroundLog({ info: line('info'), warn: line('warn') }, { monotonicMs: () => nowMs });
  for (; nowMs <= 20_000; nowMs += 1000) log.failed(new KeyedError('nobody leads'));
  assert.deepEqual(lines, ['0 info 0', '10000 info 9', '20000 info 9']);
  log.failed(new TypeError('a mistake'));
  assert.deepEqual(lines.at(-1), '21000 warn 0');
});
