/** `npm run soak:restarts`: rolling restarts of a real cluster under plain clients, and a check of every write that was acknowledged. */
import { Command } from 'commander';
import { ProcessNodes } from '../support/process-nodes.ts';
import { skipWithout } from '../support/programs.ts';
import { runRestartRounds } from './restart-rounds.ts';

interface SoakFlags {
  readonly restarts: string;
  readonly groups: string;
  readonly limitMs: string;
}

const flags = new Command('npm run soak:restarts --')
  .description('Stops and starts the nodes of a real cluster in turn under plain clients, and checks every write.')
  .option('--restarts <count>', 'of one node each', '50')
  .option('--groups <count>', 'groups that share the keys', '3')
  .option('--limit-ms <ms>', 'a command that takes longer is a failure; 0 for none', '0')
  .parse()
  .opts<SoakFlags>();

/** The steps of stops that nodes have told of, and the longest time that each took, or came after its beginning. */
function longestSteps(log: readonly string[]): Map<string, number> {
  const longest = new Map<string, number>();
  for (const line of log) {
    const [, json] = /^n\d+ \| (\{.*"the node stops: .*\})$/.exec(line) ?? [];
    if (json === undefined) continue;
    const { msg, tookMs, sinceBeginMs } = JSON.parse(json) as { msg: string; tookMs?: number; sinceBeginMs?: number };
    const step = msg.replace(/handed over \d+ groups?/, 'handed over');
    longest.set(step, Math.max(longest.get(step) ?? 0, tookMs ?? sinceBeginMs ?? 0));
  }
  return longest;
}

const cluster = await ProcessNodes.start({
  groups: Number(flags.groups),
  // Who leads which group from when on.
  logLevel: 'debug',
  loopWatch: 'on',
});
try {
  const startMs = performance.now();
  const report = await runRestartRounds(cluster, {
    restarts: Number(flags.restarts),
    hasRedisCli: skipWithout('redis-cli') === false,
    onRestart: (nth, nodeId) => console.log(`restart ${nth} of ${flags.restarts}: node ${nodeId}`),
  });
  const tookS = Math.round((performance.now() - startMs) / 1000);
  console.log(
    `${report.restarts} restarts in ${tookS} s: ${report.acknowledged} commands answered, every write is there once; ` +
      `the longest wait was ${Math.round(report.longestMs)} ms (${report.longest}); ${report.complaints.length} complaints`,
  );
  const { p50, p99, p999 } = report.percentilesMs;
  console.log(
    `waits: half within ${p50.toFixed(1)} ms, 99 % within ${p99.toFixed(1)} ms, 99.9 % within ${p999.toFixed(1)} ms; longer than 100 ms: ${report.slowCount}`,
  );
  for (const { what, tookMs, during, details } of report.slowest) {
    console.log(`  ${Math.round(tookMs)} ms  ${what}: ${during}`);
    for (const line of details) console.log(`      ${line}`);
  }
  for (const [step, longestMs] of longestSteps(cluster.log)) console.log(`  at most ${longestMs} ms: ${step}`);
  const limitMs = Number(flags.limitMs);
  if (report.complaints.length > 0 || (limitMs > 0 && report.longestMs > limitMs)) {
    console.error(`FAILED:\n  ${report.complaints.slice(0, 20).join('\n  ')}`);
    process.exitCode = 1;
  }
} catch (error) {
  console.error(cluster.log.slice(-60).join('\n'));
  console.error('FAILED:', error);
  process.exitCode = 1;
} finally {
  await cluster.stop();
}
process.exit();
