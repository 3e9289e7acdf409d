/** `npm run torture`: the test that kills nodes, for as long as you like. */
import { Command } from 'commander';
import { SeededRandom } from '../../src/platform/index.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { checkEverywhere, runKillRounds } from './kill-rounds.ts';

interface TortureFlags {
  readonly cycles: string;
  readonly rounds: string;
  readonly seed?: string;
}

const flags = new Command('npm run torture --')
  .description('Kills random nodes of a real cluster under load again and again, and checks every write.')
  .option('--cycles <count>', 'clusters, one after the other', '3')
  .option('--rounds <count>', 'kills of each cluster', '20')
  .option('--seed <number>', 'which nodes are killed when; the timing of processes is not repeatable')
  .parse()
  .opts<TortureFlags>();

const firstSeed = Number(flags.seed ?? Date.now() % 1_000_000);
for (let cycle = 0; cycle < Number(flags.cycles); cycle++) {
  const seed = firstSeed + cycle;
  const cluster = await ProcessNodes.start();
  try {
    console.log(`cycle ${cycle + 1} of ${flags.cycles}, seed ${seed}`);
    const history = await runKillRounds(cluster, new SeededRandom(seed), Number(flags.rounds), (round, nodeId) =>
      console.log(`  round ${round}: kill -9 node ${nodeId}`),
    );
    await checkEverywhere(cluster, history);
    const errors = [...history.errors].map(([kind, times]) => `${kind} ${times}`).join(', ');
    console.log(
      `  ${history.count('acknowledged')} writes acknowledged, all on every replica; ${history.count('refused')} refused, ` +
        `none appeared; ${history.count('unknown')} of unknown outcome (errors: ${errors || 'none'})`,
    );
  } catch (error) {
    console.error(cluster.log.slice(-60).join('\n'));
    console.error(`FAILED with seed ${seed}:`, error);
    process.exitCode = 1;
    break;
  } finally {
    await cluster.stop();
  }
}
