import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type FolderRefusedError, FolderStanding } from '../../src/node/standing.ts';
import { type NodeId, nodeId, type PeerNetwork, type Refusal, type Scheduler } from '../../src/platform/index.ts';

interface Traits {
  readonly mayWait?: boolean;
  readonly waitsToFound?: boolean;
  /** So many acceptances cannot be written down. */
  readonly failures?: number;
}

/** A standing whose peers say what a test has them say. */
function standingOf({ mayWait = false, waitsToFound = false, failures = 0 }: Traits = {}) {
  let left = failures;
  const ended: FolderRefusedError[] = [];
  const errors: unknown[] = [];
  const acceptedBy: NodeId[] = [];
  const words: string[] = [];
  const later: { readonly ms: number; readonly callback: () => void }[] = [];
  const standing = new FolderStanding({
    self: nodeId(1),
    record: {
      acceptedBy,
      noteAcceptance: async (peer) => {
        if (left-- > 0) throw new Error('no space left');
        acceptedBy.push(peer);
      },
    },
    mayWait: () => mayWait,
    waitsToFound: () => waitsToFound,
    onEnd: (error) => ended.push(error),
    onError: (error) => errors.push(error),
    scheduler: {
      after: (ms: number, callback: () => void) => {
        later.push({ ms, callback });
        return () => undefined;
      },
      endOfTurn: assert.fail,
    } as unknown as Scheduler,
    onWaits: (reason) => words.push(reason),
  });
  const said: { accept: (peer: NodeId) => void; refuse: (refusal: Refusal) => void } = {
    accept: () => undefined,
    refuse: () => undefined,
  };
  const network: Pick<PeerNetwork, 'onAccepted' | 'onRefused'> = {
    onAccepted: (listener) => {
      said.accept = listener;
    },
    onRefused: (listener) => {
      said.refuse = listener;
    },
  };
  standing.listenTo(network);
  const refuse = (reason: Refusal['reason'], peer = 2): void =>
    said.refuse({ peer: nodeId(peer), reason, message: `${reason}, says ${peer}` });
  return { standing, ended, errors, words, later, refuse, accept: (peer: number) => said.accept(nodeId(peer)) };
}

const changed = new Error('known with another incarnation');

describe('how the cluster stands to a data folder', () => {
  test('the word of the catalog ends a node, but one that joined and waits for its predecessor to go', () => {
    for (const [code, mayWait, ends] of [
      ['NODE_CHANGED', false, true],
      ['NODE_CHANGED', true, false],
      ['NODE_REMOVED', false, true],
      ['NODE_REMOVED', true, true],
      ['NODE_LACKS_FEATURE', true, true],
    ] as const) {
      const { standing, ended, errors } = standingOf({ mayWait });
      standing.refusedByCatalog(code, changed);
      assert.deepEqual([ended.map((error) => error.code), errors.length], [ends ? [code] : [], ends ? 0 : 1]);
      assert.equal(standing.isOver, ends);
      assert.equal(standing.excuse(), changed.message);
      standing.takenByCatalog();
      assert.equal(standing.reason(), ends ? changed.message : undefined);
    }
  });

  test('a peer ends a node that is to found, or was removed, or runs twice, and no other', () => {
    for (const [reason, waitsToFound, code] of [
      ['met', true, 'NODE_CHANGED'],
      ['changed', true, 'NODE_CHANGED'],
      ['met', false, undefined],
      ['changed', false, undefined],
      ['removed', false, 'NODE_REMOVED'],
      ['twice', false, 'NODE_RUNS_TWICE'],
      ['mismatch', true, undefined],
    ] as const) {
      const { ended, refuse } = standingOf({ waitsToFound });
      refuse(reason);
      refuse(reason);
      assert.deepEqual(
        ended.map((error) => error.code),
        code === undefined ? [] : [code],
        reason,
      );
    }
  });

  test('a founder that waits says so after a moment and now and then, and no other says a word', () => {
    for (const waitsToFound of [true, false]) {
      const { standing, words, later } = standingOf({ waitsToFound });
      standing.mayFound([1, 2, 3].map(nodeId));
      standing.start();
      for (let round = 0; round < 3; round++) later.at(-1)!.callback();
      assert.deepEqual(
        later.map(({ ms }) => ms),
        waitsToFound ? [5_000, 30_000, 30_000, 30_000] : [5_000],
      );
      assert.deepEqual(
        words.map((word) => /since nodes 2 and 3 did not answer/.test(word)),
        waitsToFound ? [true, true, true] : [],
      );
    }
  });

  test('what a peer has said counts until it accepts', async () => {
    const { standing, refuse, accept } = standingOf();
    refuse('met');
    assert.deepEqual([standing.reason(), standing.excuse()], ['met, says 2', undefined]);
    assert.deepEqual(standing.details(), ['node 2 does not listen to this node: met, says 2']);
    accept(2);
    assert.deepEqual([standing.reason(), standing.details()], [undefined, []]);
  });

  test('a founder hears when enough have accepted it, and names who is missing until then', async () => {
    const { standing, accept } = standingOf({ waitsToFound: true });
    const founders = [1, 2, 3].map(nodeId);
    assert.equal(standing.mayFound(founders), false);
    assert.match(standing.reason()!, /since nodes 2 and 3 did not answer/);
    const heard = new Promise<void>((resolve) => standing.onAcceptance(resolve));
    accept(2);
    await heard;
    assert.equal(standing.mayFound(founders), false);
    assert.match(standing.reason()!, /since node 3 did not answer/);
    accept(3);
    assert.equal(standing.mayFound(founders), true);
  });

  test('an acceptance that could not be written down is written again, though the peer does not repeat it', async () => {
    const { standing, errors, later, accept } = standingOf({ waitsToFound: true, failures: 2 });
    let heard = 0;
    standing.onAcceptance(() => {
      heard++;
    });
    accept(2);
    for (let round = 1; round <= 2; round++) {
      await setImmediate();
      assert.deepEqual([errors.length, later.length, heard], [round, round, 0]);
      later.at(-1)!.callback();
    }
    await setImmediate();
    assert.deepEqual([errors.length, later.length, heard], [2, 2, 1]);
    assert.equal(standing.mayFound([1, 2].map(nodeId)), true);
  });

  test('an acceptance that cannot be written down keeps no node that stops', async () => {
    const { standing, later, accept } = standingOf({ failures: 1 });
    accept(2);
    standing.stop();
    await setImmediate();
    assert.deepEqual(later, []);
  });
});
