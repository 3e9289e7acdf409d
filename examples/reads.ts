/**
 * Reads of every freshness, against `npm start` (or any cluster):
 *
 *   node examples/reads.ts [endpoint,endpoint,..]
 *
 * Two shops take money all the time, each in a transaction over keys of both. Meanwhile the books are read: at the leaders, at
 * replicas that may be some seconds old, in a session that sees its own writes on any node, and as of the past.
 */
import { KvorumClient } from '../src/client/index.ts';

const [endpoints = '127.0.0.1:50051,127.0.0.1:50052,127.0.0.1:50053'] = process.argv.slice(2);
const client = new KvorumClient({ endpoints: endpoints.split(',') });
const books = ['shop/ada', 'shop/zoe'];

await client.putMany(books.map((key) => ({ key, value: '100' })));
let isOver = false;
const carrying = (async () => {
  let carried = 0;
  while (!isOver) {
    await client.transaction(async (t) => {
      await t.put(books[0]!, String(Number(await t.get(books[0]!)) - 1));
      await t.put(books[1]!, String(Number(await t.get(books[1]!)) + 1));
    });
    carried++;
  }
  return carried;
})();

// Freshness of one read. `servedTs` is the moment that it is of, `stalenessMs` how old it may be.
for (const consistency of ['linearizable', 'anyReplica', { maxStalenessMs: 5_000 }] as const) {
  const { value, servedTs, stalenessMs } = await client.read(books[0]!, { consistency });
  console.log(`${JSON.stringify(consistency)}: ${value?.value} at ${servedTs}, ${stalenessMs} ms old at most`);
}

// Everything as of one timestamp, whatever groups the keys are in: the books always add up.
const view = { servedTs: 0n };
const sum = await client.snapshot(
  async (snapshot) => {
    view.servedTs = snapshot.servedTs;
    let total = 0;
    for await (const { value } of snapshot.scan({ prefix: 'shop/' })) total += Number(value);
    return total;
  },
  { consistency: { maxStalenessMs: 5_000 } },
);
console.log(`the books add up to ${sum} as of ${view.servedTs}`);

// The same moment again, by anybody, as long as its history is kept.
const then = await client.getMany(books, { consistency: { at: view.servedTs } });
console.log(`and they still say ${then.join(' + ')}`);

// A session sees its own writes and never goes back, on any node. Its token is text: hand it on with a cookie.
const session = client.session();
await session.put('visits', '1');
const other = new KvorumClient({ endpoints: endpoints.split(',').reverse() });
console.log(`the next request, at another node: ${await other.session(session.token).get('visits')}`);

isOver = true;
console.log(`${await carrying} transfers meanwhile`);
client.close();
other.close();
