/** `gc`: how the cluster lets go of the past, who holds it back, and how long the past is kept. */
import type { Command } from 'commander';
import type { GcGroupView, GcNodeView, GcView } from '../../../src/cluster/index.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatBytes, formatDuration, formatTime, parseDuration } from '../values.ts';

const SETTING = 'gc.retentionMs';

const GROUP_COLUMNS: readonly Column<GcGroupView>[] = [
  { name: 'group', align: 'right', value: (group) => String(group.groupId) },
  { name: 'readable since', value: (group) => formatTime(group.thresholdMs) },
  { name: 'state', value: (group) => group.problem || (group.isPending ? 'pending' : 'at the safepoint') },
];

const sum = (node: GcNodeView, of: (store: GcNodeView['stores'][number]) => number): number =>
  node.stores.reduce((total, store) => total + of(store), 0);

const NODE_COLUMNS: readonly Column<GcNodeView>[] = [
  { name: 'node', align: 'right', value: (node) => String(node.nodeId) },
  { name: 'stores', align: 'right', value: (node) => String(node.stores.length) },
  { name: 'collecting', align: 'right', value: (node) => String(sum(node, ({ isRunning }) => (isRunning ? 1 : 0))) },
  { name: 'history', align: 'right', value: (node) => formatBytes(sum(node, ({ overhangBytes }) => overhangBytes)) },
  {
    name: 'of deleted objects',
    align: 'right',
    value: (node) => formatBytes(sum(node, ({ unreachableBytes }) => unreachableBytes)),
  },
  {
    name: 'dropped last',
    align: 'right',
    value: (node) => `${sum(node, ({ droppedVersions }) => droppedVersions)} versions`,
  },
  {
    name: 'pinned',
    value: (node) => node.problem || (node.pinMs === 0 ? '-' : `${formatTime(node.pinMs)} (${node.pinPurpose})`),
  },
];

/** Adds the commands. */
export function addGcCommands(program: Command, declare: Declare): void {
  const gc = program
    .command('gc')
    .summary('how the cluster lets go of the past')
    .description(
      'Overwritten and deleted values stay readable for the retention. All groups let go together: the safepoint is what ' +
        'every group has certified and nobody has pinned. Without a word it shows who holds it back.',
    );
  declare(
    examples(gc, ['gc', 'the safepoint, each group and each node'], ['gc -w json', 'for a program']),
    async (session: Session) => {
      show(session, await session.cluster.call('Gc', {}));
    },
  );
  const run = gc
    .command('run')
    .summary('let go now')
    .description('Makes a round of the safepoint and begins passes over all stores, without waiting for their time.');
  declare(examples(run, ['gc run', 'after the retention was shortened']), async (session: Session) => {
    const { result, status } = await session.cluster.call('RunGc', {});
    const said = {
      done: `the safepoint is ${formatTime(status.safepointMs)}; every store that is behind it is being collected`,
      held: `node ${status.holder ?? '?'} is at a round already; every store is being collected`,
      left: 'no round could be made now; look at `gc` for who holds it back, and try again',
    };
    session.outcome({ result, status }, said[result]);
  });
  const retention = gc
    .command('retention')
    .argument('[duration]', 'such as 30m or 24h; 0 is what the nodes are configured with', parseRetention)
    .summary('how long the past is kept')
    .description(
      'Shows or sets how long overwritten and deleted values stay readable. It holds for the whole cluster from the next round on. ' +
        'What was let go of does not come back when it is made longer.',
    );
  declare(
    examples(retention, ['gc retention', 'show it'], ['gc retention 10m', 'keep ten minutes']),
    async (session: Session, durationMs: number | undefined) => {
      if (durationMs === undefined) {
        const { retentionMs } = await session.cluster.call('Gc', {});
        session.outcome({ retentionMs }, `the past is kept for ${formatDuration(retentionMs)}`);
        return;
      }
      const setting = await session.cluster.call('SetSetting', { name: SETTING, value: String(durationMs) });
      const said = durationMs === 0 ? 'as long as the nodes are configured to' : `for ${formatDuration(durationMs)}`;
      session.outcome(setting, `the past is kept ${said}, from the next round on (\`gc run\` makes one)`);
    },
  );
}

const parseRetention = (text: string): number => (text === '0' ? 0 : parseDuration(text));

function show(session: Session, view: GcView): void {
  session.rows(view, GROUP_COLUMNS, view.groups);
  // As JSON everything was said.
  if (session.format !== 'json') session.rows(view, NODE_COLUMNS, view.nodes);
  const late = view.isOverdue ? '; THIS IS OVERDUE: look at who holds it back' : '';
  const raised = view.raisedAtMs === 0 ? 'never raised' : `raised ${formatTime(view.raisedAtMs)}`;
  session.note(
    view.isActive
      ? `safepoint ${formatTime(view.safepointMs)}, ${raised}; the past is kept for ${formatDuration(view.retentionMs)}${late}`
      : 'the feature gc.safepoint is not active: nothing is let go of until every node can do it',
  );
  for (const { who, why } of view.holdersBack) session.note(`held back by ${who}: ${why}`);
}
