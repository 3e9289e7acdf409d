/** The client against real processes, one of which is killed: sessions go on at other nodes, snapshots are begun again, and nothing goes back. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KvorumClient, KvorumClientError, type ReadConsistency } from '../../src/client/index.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

const BOOKS = ['shop/ada', 'shop/zoe'];
const BOUND_MS = 5_000;

describe('reads of a client while a node is killed', () => {
  let cluster: ProcessNodes;
  let client: KvorumClient;
  before(async () => {
    cluster = await ProcessNodes.start();
    client = new KvorumClient({
      endpoints: cluster.nodeIds.map((id) => `127.0.0.1:${cluster.grpcPort(id)}`),
      timeoutMs: 20_000,
    });
  });
  after(async () => {
    client.close();
    await cluster.stop();
  });

  test('add up, see what their session did, and are as young as they were asked to be', async () => {
    await until('somebody serves', () =>
      client.putMany(BOOKS.map((key) => ({ key, value: '100' }))).then(
        () => true,
        () => false,
      ),
    );
    const sumOf = (consistency: ReadConsistency): Promise<number> =>
      client.snapshot(
        async (view) => {
          let total = 0;
          for await (const { value } of view.scan({ prefix: 'shop/' })) total += Number(value);
          return total;
        },
        { consistency },
      );
    const writtenMs = performance.now();
    let isOver = false;
    let carried = 0;
    const carry = async (): Promise<void> => {
      while (!isOver) {
        try {
          await client.transaction(async (t) => {
            await t.put(BOOKS[0]!, String(Number(await t.get(BOOKS[0]!)) - 1));
            await t.put(BOOKS[1]!, String(Number(await t.get(BOOKS[1]!)) + 1));
          });
          carried++;
        } catch (error) {
          assert.ok(error instanceof KvorumClientError && error.isUnknown, String(error));
        }
      }
    };
    const counts = { sums: 0, visits: 0 };
    const audit = async (): Promise<void> => {
      while (!isOver) {
        const consistency = counts.sums % 2 === 0 ? 'linearizable' : { maxStalenessMs: BOUND_MS };
        // A read that may be some seconds old may be of a moment before there was anything.
        const mayBeEmpty = consistency !== 'linearizable' && performance.now() - writtenMs < BOUND_MS;
        const sum = await sumOf(consistency);
        assert.ok(sum === 200 || (sum === 0 && mayBeEmpty), `${sum} with ${JSON.stringify(consistency)}`);
        counts.sums++;
        const { stalenessMs } = await client.read(BOOKS[0]!, { consistency: { maxStalenessMs: BOUND_MS } });
        assert.ok(stalenessMs !== undefined && stalenessMs <= BOUND_MS + 1_000, `${stalenessMs} ms old`);
      }
    };
    const visit = async (key: string): Promise<void> => {
      let token = '';
      let seen = 0;
      while (!isOver) {
        const session = client.session(token);
        const found = Number((await session.get(key)) ?? 0);
        assert.ok(found >= seen, `a session saw ${found} after ${seen}`);
        seen = found;
        try {
          await session.put(key, String(found + 1));
          seen = found + 1;
        } catch (error) {
          assert.ok(error instanceof KvorumClientError && error.isUnknown, String(error));
        }
        token = session.token;
        counts.visits++;
      }
    };
    const work = [carry(), audit(), visit('visits/1'), visit('visits/2')];
    const failed = Promise.race(work.map((one) => one.then(() => new Promise<never>(() => undefined))));
    const grow = (what: string, by: number): Promise<void> => {
      const before = { ...counts, carried };
      const hasGrown = (): boolean =>
        counts.sums >= before.sums + by && counts.visits >= before.visits + by && carried >= before.carried + by;
      return Promise.race([until(what, hasGrown, 60_000), failed]);
    };
    try {
      await grow('everybody is at work', 5);
      const victim = await cluster.leader();
      await cluster.kill(victim);
      await grow('everybody goes on without the leader', 5);
      cluster.revive(victim);
      await grow('everybody goes on', 5);
    } finally {
      isOver = true;
      await Promise.all(work);
    }
  });
});
