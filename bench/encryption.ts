/**
 * What encryption of what is stored costs: processor time of one node a command, with and without a key. Run: `node bench/encryption.ts [--json]
 * [--rounds 3]`. The forms take turns; compare within a run only.
 */
import { Redis } from 'ioredis';
import { formatTable } from '../cmd/cli/table.ts';
import { cpuSecondsOf } from './cpu.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { Scratch } from './scratch.ts';
import { median } from './spread.ts';

const KEYS = 20_000;
const PIPELINE = 200;
const MEMBERS = 10_000;
const KEY = '42'.repeat(32);

const argument = (name: string): string | undefined => process.argv[process.argv.indexOf(name) + 1];
const rounds = process.argv.includes('--rounds') ? Number(argument('--rounds')) : 3;

/** One command after another of a kind, many at a time. */
type Load = (pipeline: ReturnType<Redis['pipeline']>, at: number) => void;
const value = 'v'.repeat(100);
const LOADS: readonly { readonly name: string; readonly count: number; readonly load: Load }[] = [
  { name: 'SET of new keys, 100 bytes', count: KEYS, load: (pipeline, at) => pipeline.set(`key:${at}`, value) },
  {
    name: 'SET over old keys, 100 bytes',
    count: KEYS,
    load: (pipeline, at) => pipeline.set(`key:${(at * 7919) % KEYS}`, value),
  },
  { name: 'GET', count: KEYS, load: (pipeline, at) => pipeline.get(`key:${(at * 7919) % KEYS}`) },
  { name: 'SET, 10,000 bytes', count: 5_000, load: (pipeline, at) => pipeline.set(`long:${at}`, value.repeat(100)) },
  { name: 'SADD to one large set', count: MEMBERS, load: (pipeline, at) => pipeline.sadd('set', `member:${at}`) },
  { name: 'SCAN, 10 keys', count: 4_000, load: (pipeline, at) => pipeline.scan(at * 1_000_003, 'COUNT', 10) },
];

/** Microseconds of processor time a command, in the order of `LOADS`. */
async function measure(flags: Readonly<Record<string, unknown>>): Promise<number[]> {
  const scratch = new Scratch();
  try {
    const nodes = await startLocalNodes(scratch, { nodes: 1, groups: 1, flags });
    const [member] = await nodes.members();
    const { pid } = nodes.cluster.process(1)!;
    const client = new Redis(portOf(member!.addresses.redis), '127.0.0.1');
    const figures: number[] = [];
    for (const { count, load } of LOADS) {
      const startSeconds = cpuSecondsOf(pid!);
      for (let done = 0; done < count; done += PIPELINE) {
        const pipeline = client.pipeline();
        for (let at = done; at < Math.min(count, done + PIPELINE); at++) load(pipeline, at);
        await pipeline.exec();
      }
      // What was applied is written to the database within this time.
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      figures.push(((cpuSecondsOf(pid!) - startSeconds) * 1e6) / count);
    }
    client.disconnect();
    await nodes.stop();
    return figures;
  } finally {
    await scratch.clean();
  }
}

const clear: number[][] = [];
const encrypted: number[][] = [];
for (let round = 0; round < rounds; round++) {
  clear.push(await measure({}));
  encrypted.push(await measure({ 'encryption.key': KEY }));
}
const rows = LOADS.map(({ name }, at) => {
  const [without, with_] = [clear, encrypted].map((all) => median(all.map((figures) => figures[at]!))) as [
    number,
    number,
  ];
  return { name, withoutUs: without, withUs: with_, factor: with_ / without };
});
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(rows)}\n`);
else {
  const shown = rows.map((row) => [row.name, row.withoutUs.toFixed(1), row.withUs.toFixed(1), row.factor.toFixed(2)]);
  const heading = ['command', 'in clear, us', 'encrypted, us', 'factor'];
  process.stdout.write(`${formatTable([heading, ...shown], ['left', 'right', 'right', 'right'])}\n`);
}
