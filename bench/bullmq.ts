/**
 * `npm run bench:bullmq`: how many jobs a second does a BullMQ queue do over three nodes, a producer on one and workers on the two others; with all keys
 * of the queue in one group (a hash tag in the prefix) and with keys anywhere (no tag, BullMQ's default), over one group and over three; beside one redis-server.
 */
import { Queue, Worker } from 'bullmq';
import { Ledger } from './ledger.ts';
import { portOf, startLocalNodes } from './local-nodes.ts';
import { rotated } from './machine.ts';
import { type BenchmarkOptions, benchmark, count } from './options.ts';
import { RedisPeer } from './peers/redis.ts';
import { conclude } from './results.ts';
import type { Processes } from './role-cpu.ts';
import { Scratch } from './scratch.ts';

const PREFIXES = ['{bull}', 'bull'] as const;
const GROUPS = [1, 3] as const;
const QUICK_JOBS = 20;

interface Options extends BenchmarkOptions {
  readonly jobs: number;
  readonly concurrency: number;
}

/** A system that is up: where the producer and the two workers connect to. */
interface Target {
  readonly system: string;
  readonly ports: readonly [number, number, number];
  readonly processes: readonly Processes[];
}

/** Adds all jobs, then has them done. @returns how often something failed, by what it said */
async function measure(target: Target, prefix: string, options: Options, ledger: Ledger): Promise<Map<string, number>> {
  const { jobs, concurrency } = options;
  const { system, ports, processes } = target;
  const failures = new Map<string, number>();
  const note = ({ message }: Error): void => void failures.set(message, (failures.get(message) ?? 0) + 1);
  const connection = (node: number) => ({
    connection: { host: '127.0.0.1', port: ports[node]!, maxRetriesPerRequest: null },
    prefix,
  });
  const queue = new Queue('bench', connection(0));
  queue.on('error', () => {});
  await queue.obliterate({ force: true });
  const timed = async (work: () => Promise<unknown>) => {
    const beganMs = performance.now();
    await work();
    return { perSecond: (jobs * 1_000) / (performance.now() - beganMs), commands: jobs };
  };
  let next = 0;
  const add = async (): Promise<void> => {
    while (next < jobs) {
      const jobId = `job-${next++}`;
      while ((await queue.add('work', {}, { jobId }).catch(note)) === undefined);
    }
  };
  await ledger.measure(`prefix ${prefix}, added`, system, processes, () =>
    timed(() => Promise.all(Array.from({ length: concurrency }, add))),
  );
  const done = new Set<string>();
  let workers: Worker[] = [];
  const allDone = (): Promise<void> =>
    new Promise((resolve) => {
      workers = [1, 2].map((node) => {
        const work = async ({ id }: { id?: string | undefined }): Promise<void> => {
          if (done.add(id!).size === jobs) resolve();
        };
        const worker = new Worker('bench', work, { ...connection(node), concurrency });
        worker.on('error', note);
        return worker;
      });
    });
  await ledger.measure(`prefix ${prefix}, done`, system, processes, () => timed(allDone));
  await Promise.all([...workers, queue].map((one) => one.close()));
  return failures;
}

async function targets(scratch: Scratch): Promise<Target[]> {
  const clusters: Target[] = [];
  for (const groups of GROUPS) {
    const members = await (await startLocalNodes(scratch, { nodes: 3, groups })).members();
    const [first, second, third] = members.map(({ addresses: { redis } }) => portOf(redis));
    const processes = [{ role: 'each node', pids: members.map(({ pid }) => pid) }];
    clusters.push({
      system: groups === 1 ? 'one group' : `${groups} groups`,
      ports: [first!, second!, third!],
      processes,
    });
  }
  const redis = new RedisPeer(scratch);
  await redis.start();
  const { port } = redis;
  return [...clusters, { system: 'redis', ports: [port, port, port], processes: redis.processes() }];
}

async function main(given: Options): Promise<number> {
  const options = given.quick === true ? { ...given, rounds: 1, jobs: QUICK_JOBS } : given;
  const { rounds, jobs, concurrency, folder } = options;
  const scratch = new Scratch(folder);
  const ledger = new Ledger();
  const failed: string[] = [];
  let systems: string[] = [];
  try {
    const all = await targets(scratch);
    systems = all.map(({ system }) => system);
    for (let round = 0; round < rounds; round++)
      for (const target of rotated(all, round))
        for (const prefix of PREFIXES)
          for (const [text, times] of await measure(target, prefix, options, ledger))
            failed.push(`${times} x ${text} (${target.system}, prefix ${prefix})`);
  } finally {
    await scratch.clean();
  }
  return conclude(
    {
      name: 'bullmq',
      facts: { rounds, jobs, concurrency, lines: ledger.facts(), failed },
      tables: [
        ledger.formatRates(systems, ' jobs/s'),
        ledger.formatCosts('us of CPU a job'),
        `failures: ${failed.join('; ') || 'none'}`,
      ],
      verdicts: [],
      others: ledger.others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:bullmq',
  says: 'Measures how many jobs a second a BullMQ queue does.',
  peers: 'one redis-server that syncs every write.',
  rounds: 3,
  quick: 'one round, few jobs',
})
  .option('--jobs <count>', 'of a round', count(1e6), 500)
  .option('--concurrency <count>', 'jobs at a time, of the producer and of each worker', count(1000), 10);
program.parse();
process.exit(await main(program.opts<Options>()));
