/** `drain`, `undrain`, `decommission`: a node is taken out of service, put back, or leaves for good. */
import { type Command, Option } from 'commander';
import type { DrainAction, DrainStatus } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { progressBar } from '../../cli/bar.ts';
import { CommandFailure } from '../../cli/failure.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { untilDone } from '../until-done.ts';
import { parseDuration, parseNodeId } from '../values.ts';

interface Flags {
  readonly wait?: boolean;
  readonly waitTimeout: number;
}

const NODE = ['<node>', 'id of the node', parseNodeId] as const;

/** Adds the commands. */
export function addDrainCommands(program: Command, declare: Declare): void {
  const drain = waiting(
    program
      .command('drain')
      .summary('take a node out of service: leaders away, then replicas')
      .description(
        'The node gives away what it leads, and takes no leadership any more. Then its replicas go to nodes that have none of the ' +
          'group, one after the other; where there is no such node they stay. The catalog remembers it: interrupted, or after a ' +
          'restart of any node, it goes on by itself.',
      )
      .argument(...NODE),
  );
  declare(
    examples(
      drain,
      ['drain 3 --wait', 'before work on the machine; `undrain 3` afterwards'],
      ['drain 3', 'begins it, and says how far it is'],
    ),
    async (session: Session, nodeId: number, flags: Flags) => run(session, nodeId, 'drain', flags),
  );

  const undrain = program
    .command('undrain')
    .summary('put a node back into service')
    .description('It may lead again, and balancing gives it leaders and replicas.')
    .argument(...NODE);
  declare(examples(undrain, ['undrain 3', 'after the work is done']), async (session: Session, nodeId: number) => {
    const status = await session.cluster.call('Drain', { nodeId, action: 'undrain' });
    session.outcome(status, status.message);
  });

  const decommission = waiting(
    program
      .command('decommission')
      .summary('take a node out of the cluster for good, after its replicas have gone')
      .description(
        'As `drain`, and then the node is removed and its data folder can never come back. Refused while a group would be left with ' +
          'fewer replicas. For a node that is dead already there is `replace`.',
      )
      .argument(...NODE),
  );
  declare(
    examples(
      decommission,
      ['decommission 3 --wait --yes', 'a smaller cluster'],
      ['decommission 3', 'asks before it does it; say it again until it is done'],
    ),
    async (session: Session, nodeId: number, flags: Flags) => {
      await session.confirm(`Node ${nodeId} leaves the cluster for good once its replicas have gone.`);
      await run(session, nodeId, 'decommission', flags);
    },
  );
}

const waiting = (command: Command): Command =>
  command
    .option('--wait', 'until it is done, with a progress bar')
    .addOption(
      new Option('--wait-timeout <duration>', 'longest wait').argParser(parseDuration).default(1_800_000, '30m'),
    );

async function run(session: Session, nodeId: number, action: DrainAction, flags: Flags): Promise<void> {
  // What changes something is said once, and once more where that is due; between, the wait only looks.
  let isDue = true;
  const step = async (): Promise<DrainStatus> => {
    const { cluster } = session;
    const status = isDue
      ? await cluster.call('Drain', { nodeId, action })
      : await cluster.call('DrainProgress', { nodeId });
    isDue = status.isCallDue;
    return status;
  };
  const status =
    flags.wait === true
      ? await untilDone(session, flags.waitTimeout, { step, isDone: ({ isDone }) => isDone, describe })
      : await step();
  if (status.state === 'serving') throw new CommandFailure(`somebody has put node ${nodeId} back into service`);
  session.outcome(status, status.isDone ? status.message : `node ${nodeId} is ${describe(status)}`);
}

/** What is left, in one line. */
export function describe({ state, leaders, replicas, movable, replicasBefore, message }: DrainStatus): string {
  const toMove = state === 'decommissioning' ? replicas : movable;
  // Leaders go first and count as much as a replica each, so that the bar moves from the beginning on.
  const all = Math.max(1, replicasBefore - (replicas - toMove) + leaders);
  const bar = progressBar(1 - (toMove + leaders) / all);
  const why = message === '' ? '' : `; ${message}`;
  return `${state} ${bar}, it leads ${counted(leaders, 'group')}, still to go: ${toMove} of ${counted(replicas, 'replica')}${why}`;
}
