import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BatchChains } from '../../../../src/adapter/redis/request/batch-chains.ts';
import type { ForwardedBatchMessage } from '../../../../src/adapter/redis/request/forwarded-command.ts';
import { groupId } from '../../../../src/platform/index.ts';

const batch = (count: number, source?: number, place = 0): ForwardedBatchMessage => ({
  kind: 'batch',
  group: groupId(7),
  requests: new Array(count),
  chain: source === undefined ? undefined : { source, place },
});

describe('a batch of a chain', () => {
  test('goes on where the one before it has ended, in order with it', () => {
    const chains = new BatchChains();
    const chain = chains.join(batch(3, 1));
    assert.equal(chains.join(batch(2, 1, 3)), chain);
    assert.equal(chains.join(batch(1, 1, 5)), chain);
    assert.equal(chain?.length, 6);
  });

  test('may not run where those before it are not known to have run', () => {
    const chains = new BatchChains();
    assert.equal(chains.join(batch(1, 1, 3)), undefined, 'another leader had the ones before it');
    chains.join(batch(3, 1));
    assert.equal(chains.join(batch(1, 1, 4)), undefined, 'one in between has not come');
    assert.equal(chains.join(batch(1, 2, 3)), undefined, 'they are of another connection');
  });

  test('begins a chain of its own when nothing else is under way', () => {
    const chains = new BatchChains();
    const before = chains.join(batch(3, 1));
    before!.firstRefused = 1;
    const after = chains.join(batch(1, 1));
    assert.notEqual(after, before);
    assert.equal(after!.firstRefused, Number.POSITIVE_INFINITY);
    assert.notEqual(chains.join(batch(1)), chains.join(batch(1)));
  });

  test('is not known any more when very many others have begun since', () => {
    const chains = new BatchChains();
    for (let source = 0; source < 16_385; source++) chains.join(batch(1, source));
    assert.equal(chains.join(batch(1, 0, 1)), undefined);
    assert.notEqual(chains.join(batch(1, 1, 1)), undefined);
  });
});
