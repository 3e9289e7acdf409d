/**
 * `npm run bench:encryption`: what encryption of what is stored costs: processor time of one node a command, with and without a key, by thread. The forms take
 * turns; compare within a run only.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatTable } from '../cmd/cli/table.ts';
import { Ledger } from './ledger.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { rotated } from './machine.ts';
import { type BenchmarkOptions, benchmark } from './options.ts';
import { conclude } from './results.ts';
import { Scratch } from './scratch.ts';
import { ratioText } from './spread.ts';

const KEYS = 20_000;
const PIPELINE = 200;
const MEMBERS = 10_000;
const KEY = '42'.repeat(32);
/** What was applied is written to the database within this time. */
const WRITTEN_MS = 1_000;
const QUICK_SHARE = 0.05;

/** How a node keeps its data. */
const FORMS = {
  'in clear': {},
  encrypted: { 'encryption.key': KEY },
} as const satisfies Record<string, Readonly<Record<string, unknown>>>;
type Form = keyof typeof FORMS;

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

/** Every load on one node that keeps its data in this form. */
async function measure(form: Form, ledger: Ledger, { folder, quick }: BenchmarkOptions): Promise<void> {
  const scratch = new Scratch(folder);
  try {
    const nodes = await startLocalNodes(scratch, { nodes: 1, groups: 1, flags: FORMS[form] });
    const [member] = await nodes.members();
    const processes = [{ role: 'node', pids: [member!.pid] }];
    const client = new Redis(portOf(member!.addresses.redis), '127.0.0.1');
    scratch.own(async () => client.disconnect());
    for (const { name, count, load } of LOADS) {
      const commands = quick === true ? Math.ceil(count * QUICK_SHARE) : count;
      await ledger.measure(name, form, processes, async () => {
        const startMs = performance.now();
        for (let done = 0; done < commands; done += PIPELINE) {
          const pipeline = client.pipeline();
          for (let at = done; at < Math.min(commands, done + PIPELINE); at++) load(pipeline, at);
          await pipeline.exec();
        }
        const perSecond = (commands * 1_000) / (performance.now() - startMs);
        await delay(WRITTEN_MS);
        return { perSecond, commands };
      });
    }
  } finally {
    await scratch.clean();
  }
}

async function main(options: BenchmarkOptions): Promise<number> {
  const ledger = new Ledger();
  const rounds = options.quick === true ? 1 : options.rounds;
  const forms = Object.keys(FORMS) as Form[];
  for (let round = 0; round < rounds; round++)
    for (const form of rotated(forms, round)) await measure(form, ledger, options);
  const factors = LOADS.map(({ name }) => [name, ratioText(ledger.costRatios(name, 'encrypted', 'in clear'))]);
  return conclude(
    {
      name: 'encryption',
      facts: { rounds, lines: ledger.facts() },
      tables: [
        ledger.formatRates(forms),
        ledger.formatCosts(),
        formatTable([['CPU a command', 'encrypted to in clear'], ...factors], ['left', 'right']),
      ],
      verdicts: [],
      others: ledger.others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:encryption',
  says: 'Measures what encryption of what is stored costs a node.',
  peers: 'the same node without a key. Neither redis-server nor etcd encrypts what it stores.',
  rounds: 3,
  quick: 'one round, a twentieth of the commands',
});
program.parse();
process.exit(await main(program.opts<BenchmarkOptions>()));
