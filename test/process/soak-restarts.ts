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

const cluster = await ProcessNodes.start({ groups: Number(flags.groups) });
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
