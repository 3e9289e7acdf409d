/** connect-redis: sessions are written through one node and read through another. What was acknowledged is there. */
import { RedisStore } from 'connect-redis';
import { createClient } from 'redis';
import { type Bed, Errors, persistently, repeatedly, type Workload } from './workload.ts';

const NODES = [1, 2, 3] as const;
const SESSIONS = 50;

async function storeOn(bed: Bed, nodeId: number, errors: Errors) {
  const client = createClient({
    url: `redis://127.0.0.1:${bed.port(nodeId)}`,
    socket: { reconnectStrategy: () => 50 },
  });
  client.on('error', (error: Error) => errors.note(error));
  await client.connect();
  return { client, store: new RedisStore({ client, prefix: 'sess:' }) };
}

/** What is known of a session. */
interface Known {
  /** The last visit that was acknowledged. */
  acknowledged: number;
  /** The last that was written, perhaps. */
  written: number;
}

export const sessions: Workload = async (bed) => {
  const errors = new Errors();
  const complaints: string[] = [];
  const stores = await Promise.all(NODES.map((nodeId) => storeOn(bed, nodeId, errors)));
  const known: Known[] = Array.from({ length: SESSIONS }, () => ({ acknowledged: 0, written: 0 }));
  let writes = 0;
  let reads = 0;
  const check = async (at: number, store: RedisStore): Promise<void> => {
    const own = known[at]!;
    const least = own.acknowledged;
    const session: { visits: number } | null = await store.get(`user-${at}`);
    reads++;
    const visits = session?.visits ?? 0;
    if (visits < least || visits > own.written)
      complaints.push(`user-${at} has ${visits} visits, ${least} were acknowledged and ${own.written} written`);
  };
  const visiting = NODES.map((_nodeId, nth) =>
    repeatedly(5, async (turn) => {
      // Each session has one writer, and readers everywhere.
      const at = (turn * NODES.length + nth) % SESSIONS;
      const own = known[at]!;
      const isWriter = at % NODES.length === nth;
      try {
        if (!isWriter) return await check(at, stores[nth]!.store);
        const visits = ++own.written;
        await stores[nth]!.store.set(`user-${at}`, { cookie: { originalMaxAge: null }, visits });
        own.acknowledged = visits;
        writes++;
      } catch (error) {
        errors.note(error);
      }
    }),
  );
  return {
    progress: () => `${writes} visits, ${reads} looks`,
    finish: async () => {
      for (const one of visiting) await one.stop();
      for (let at = 0; at < SESSIONS; at++)
        for (const { store } of stores) await persistently(errors, () => check(at, store));
      const { length } = await persistently(errors, () => stores[0]!.store.ids());
      const begun = known.filter(({ acknowledged }) => acknowledged > 0).length;
      if (length < begun) complaints.push(`${length} sessions are listed, ${begun} were begun`);
      for (const { client } of stores) client.destroy();
      return { summary: `${writes} visits, ${reads} looks (errors: ${errors.text})`, complaints };
    },
  };
};
