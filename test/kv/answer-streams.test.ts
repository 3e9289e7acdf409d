import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeHeader, encodeHeader } from '../../src/kv/forward/answer-streams.ts';
import { OutcomeUnknownError } from '../../src/raftengine/errors.ts';
import { bytes } from '../support/lone-group.ts';
import { ProxyCluster } from './proxy-cluster.ts';

const PARTS = 30;
const PART = Buffer.alloc(20 * 1024, 'x');
const LARGE_BYTES = PARTS * PART.length;

/** A cluster whose leader, node 2, answers "large" with many parts, and everything else with itself. */
class Streaming {
  readonly cluster: ProxyCluster;
  /** Parts of large answers that were sent. */
  sent = 0;

  constructor(streamsAnswers = () => true, maxUnsentReplyBytes = 4 * LARGE_BYTES) {
    this.cluster = new ProxyCluster(3, { streamFromBytes: LARGE_BYTES / 2, maxUnsentReplyBytes }, streamsAnswers);
    this.cluster.node(2).proxy.onForward('echo', (payload, answer) => {
      if (payload.toString() === 'large') answer(undefined, this.parts());
      else answer(undefined, payload);
    });
    this.cluster.lead(2);
  }

  private parts(): Buffer[] {
    const parts = [bytes('head'), ...new Array<Buffer>(PARTS).fill(PART)];
    const all = [...parts];
    parts[Symbol.iterator] = () => {
      const values = all.values();
      const next = values.next.bind(values);
      values.next = () => {
        this.sent++;
        return next();
      };
      return values;
    };
    return parts;
  }

  /** Lets everything happen, what waits for promises too. */
  async flow(rounds = 150): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      this.cluster.flow();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const whole = (reply: string | undefined): boolean => reply === `head${'x'.repeat(LARGE_BYTES)}`;

describe('a large answer of a leader', () => {
  test('comes whole in a stream of its own, and small answers pass it by', async () => {
    const { cluster, flow } = withFlow(new Streaming());
    const large = cluster.forward(1, 'large', 60_000);
    cluster.flow();
    const small = cluster.forward(1, 'small');
    cluster.flow();
    assert.equal(small.reply, 'small');
    assert.equal(large.isDone, false);
    const { frames } = cluster.wire;
    await flow();
    assert.ok(whole(large.reply));
    assert.equal(cluster.wire.frames, frames, 'no frame was needed');
  });

  test('comes in a frame while some node does not know streams', async () => {
    const { cluster } = new Streaming(() => false);
    const large = cluster.forward(1, 'large');
    cluster.flow();
    assert.ok(whole(large.reply));
  });

  test('is waited for beyond the deadline while parts of it come', async () => {
    const { cluster, flow } = withFlow(new Streaming());
    const large = cluster.forward(1, 'large', 1_000);
    await flow(1);
    cluster.scheduler.advance(900);
    await flow(1);
    cluster.scheduler.advance(200);
    assert.equal(large.isDone, false);
    await flow();
    assert.ok(whole(large.reply));
  });

  test('that nobody waits for is not sent on', async () => {
    const streaming = new Streaming();
    const { cluster } = streaming;
    const large = cluster.forward(1, 'large', 500);
    await streaming.flow(1);
    cluster.scheduler.advance(2_000);
    assert.ok(large.error instanceof OutcomeUnknownError);
    await streaming.flow();
    assert.ok(streaming.sent < PARTS, `${streaming.sent} parts of ${PARTS}`);
  });

  test('whose stream breaks is of unknown outcome at once', async () => {
    const { cluster, flow } = withFlow(new Streaming());
    const large = cluster.forward(1, 'large', 60_000);
    await flow(2);
    for (const stream of [...cluster.wire.streams]) stream.over(new Error('cut'));
    await flow();
    assert.ok(large.error instanceof OutcomeUnknownError);
  });

  test('is refused when too much is under way to the same node', async () => {
    const { cluster, flow } = withFlow(new Streaming(() => true, 2 * LARGE_BYTES));
    const answers = [1, 2].map(() => cluster.forward(1, 'large', 60_000));
    await flow();
    assert.ok(whole(answers[0]!.reply));
    assert.ok(answers[1]!.error instanceof OutcomeUnknownError);
  });

  test('is announced in these bytes', () => {
    const header = encodeHeader({ epoch: 1, id: 0xffff_fffe, bytes: 258 });
    assert.equal(header.toString('hex'), '0100000001fffffffe00000102');
    assert.deepEqual(decodeHeader(header), { epoch: 1, id: 0xffff_fffe, bytes: 258 });
    assert.throws(() => decodeHeader(header.subarray(1)), /damaged/);
    assert.throws(() => decodeHeader(encodeHeader({ epoch: 1, id: 1, bytes: 0xffff_ffff })), /damaged/);
  });
});

function withFlow(streaming: Streaming) {
  return { cluster: streaming.cluster, flow: (rounds?: number) => streaming.flow(rounds) };
}
