/** `kvorum stop`: ends the node that runs with a data folder, and no other. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { isDataFolderInUse } from '../../src/raftengine/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { runningPid } from '../cluster/index.ts';

const EXAMPLES = `
Examples:
  kvorum stop /var/lib/kvorum
      asks the node to stop, and waits until it has
  kvorum stop --kill ./data/n2
      ends it at once, as a crash would: what was acknowledged is safe on the other nodes

It must run on the node's machine, as the same user or as root.`;

const POLL_MS = 50;
const DEFAULT_WAIT_SECONDS = 60;

/** Adds the command. */
export function addStopCommand(program: Command): void {
  program
    .command('stop')
    .argument('<data-folder>', 'the folder that the node was started with')
    .summary('stop the node that runs with a data folder')
    .description('Stops the node that runs with a data folder, and no other process.')
    .option('--kill', 'end it at once with SIGKILL instead of asking it')
    .option('--wait <seconds>', `how long to wait for its end (default: ${DEFAULT_WAIT_SECONDS})`, Number.parseFloat)
    .addHelpText('after', EXAMPLES)
    .action(async (folder: string, { kill, wait }: { kill?: true; wait?: number }) => {
      await stopNode(folder, kill ? 'SIGKILL' : 'SIGTERM', (wait ?? DEFAULT_WAIT_SECONDS) * 1000);
    });
}

async function stopNode(folder: string, signal: NodeJS.Signals, waitMs: number): Promise<void> {
  const pid = await runningPid(folder);
  if (pid === undefined) {
    throw new CommandFailure(
      (await isDataFolderInUse(folder))
        ? `the node with ${folder} is still starting or already stopping; try again in a moment`
        : `no node runs with ${folder}`,
    );
  }
  try {
    process.kill(pid, signal);
  } catch (error) {
    throw new CommandFailure(`cannot stop process ${pid}: ${(error as Error).message}`);
  }
  const deadline = Date.now() + waitMs;
  while (await isDataFolderInUse(folder)) {
    if (Date.now() > deadline) throw new CommandFailure(`process ${pid} has not ended after ${waitMs / 1000} s`);
    await delay(POLL_MS);
  }
  console.log(`${signal === 'SIGKILL' ? 'killed' : 'stopped'} process ${pid}`);
}
