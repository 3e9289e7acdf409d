/**
 * `npm run soak:clients`: queues, locks, limits, sessions, sockets and pipelines of other people, each used as its own documentation does, while each
 * node of a real cluster in turn is ended by `kill -9` and brought back. Each says what was not as it promises.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Command } from 'commander';
import { ProcessNodes } from '../support/process-nodes.ts';
import { WORKLOADS } from './clients/index.ts';
import type { Running } from './clients/workload.ts';

interface SoakFlags {
  readonly rounds: string;
  readonly pauseMs: string;
  readonly groups: string;
  readonly only?: string;
}

const flags = new Command('npm run soak:clients --')
  .description(
    `Kills each node of a real cluster in turn under programs of other people: ${Object.keys(WORKLOADS).join(', ')}.`,
  )
  .option('--rounds <count>', 'how often each node is killed', '1')
  .option('--pause-ms <ms>', 'between a kill and the next step', '3000')
  .option('--groups <count>', 'groups that share the keys', '3')
  .option('--only <names>', 'some of them, with commas between')
  .parse()
  .opts<SoakFlags>();

const NODES = [1, 2, 3] as const;
const names = flags.only?.split(',') ?? Object.keys(WORKLOADS);
const pauseMs = Number(flags.pauseMs);

async function killEachNode(cluster: ProcessNodes, running: ReadonlyMap<string, Running>): Promise<void> {
  for (let round = 1; round <= Number(flags.rounds); round++) {
    for (const nodeId of NODES) {
      await pause(pauseMs);
      for (const [name, one] of running) console.log(`  ${name}: ${one.progress()}`);
      console.log(`round ${round}: kill -9 node ${nodeId}`);
      await Promise.all([...running.values()].map((one) => one.beforeKill?.()));
      await cluster.kill(nodeId);
      await pause(pauseMs);
      cluster.revive(nodeId);
      await cluster.ready();
      await Promise.all([...running.values()].map((one) => one.afterRevival?.()));
    }
  }
  await pause(pauseMs);
}

// Some libraries do not look at promises of commands that they repeat.
let unhandled = 0;
process.on('unhandledRejection', () => unhandled++);
/** What all nodes say of it together. */
async function droppedMessages(): Promise<number> {
  const pages = await Promise.all(
    NODES.map(async (nodeId) => (await fetch(`http://127.0.0.1:${cluster.metricsPort(nodeId)}/metrics`)).text()),
  );
  return pages.reduce(
    (sum, page) => sum + Number(/^kvorum_redis_messages_total\{[^}]*step="dropped"[^}]*\} (\d+)/m.exec(page)?.[1]),
    0,
  );
}

const cluster = await ProcessNodes.start({ groups: Number(flags.groups) });
try {
  const running = new Map<string, Running>();
  for (const name of names) {
    const start = WORKLOADS[name];
    if (start === undefined) throw new Error(`there is no ${name}`);
    running.set(name, await start({ port: (nodeId) => cluster.redisPort(nodeId), droppedMessages }));
  }
  await killEachNode(cluster, running);
  for (const [name, one] of running) {
    const { summary, complaints } = await one.finish();
    console.log(`${name}: ${summary}`);
    if (complaints.length === 0) continue;
    console.error(`FAILED ${name}:\n  ${complaints.slice(0, 20).join('\n  ')}\n  ${complaints.length} in all`);
    process.exitCode = 1;
  }
  console.log(`${unhandled} rejections that no library has handled`);
} catch (error) {
  console.error(cluster.log.slice(-60).join('\n'));
  console.error('FAILED:', error);
  process.exitCode = 1;
} finally {
  await cluster.stop();
}
process.exit();
