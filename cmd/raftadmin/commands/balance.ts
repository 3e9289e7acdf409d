/** `balance` and `work`: what the cluster does by itself. */
import { Argument, type Command } from 'commander';
import type { BalanceDutyView, BalanceReportView, SettingView, WorkView } from '../../../src/cluster/index.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatDuration, formatTime } from '../values.ts';

/** What `balance on` and the like switch. Splits have a word of their own, merges are switched by name. */
const SWITCHED = ['balance.leaders', 'balance.size'];

const DUTY_COLUMNS: readonly Column<BalanceDutyView>[] = [
  { name: 'rule', value: (duty) => duty.duty },
  { name: 'mode', value: (duty) => duty.mode },
  { name: 'next', value: (duty) => (duty.underWay !== '' ? 'acts' : formatDuration(duty.nextInMs)) },
  { name: 'what it says', value: (duty) => duty.underWay || duty.said || 'was not asked yet' },
];

const REPORT_COLUMNS: readonly Column<BalanceReportView>[] = [
  { name: 'time', value: (report) => formatTime(report.atMs) },
  { name: 'rule', value: (report) => report.duty },
  { name: 'event', value: (report) => report.event },
  { name: 'what and why', value: (report) => report.text },
];

const WORK_COLUMNS: readonly Column<WorkView>[] = [
  { name: 'unit', value: (unit) => unit.name },
  { name: 'node', value: (unit) => (unit.holder === undefined ? '-' : String(unit.holder)) },
  { name: 'lease until', value: (unit) => formatTime(unit.leaseUntilMs) },
];

/** Adds the commands. */
export function addBalanceCommands(program: Command, declare: Declare): void {
  const balance = program
    .command('balance')
    .summary('how load, leaders and bytes are spread by themselves')
    .description(
      `Shows the rules and what they say; log: what they did or, where they observe, would do. ` +
        `on, off and observe switch ${SWITCHED.join(' and ')}; autosplit and automerge are switched by \`settings set\`.`,
    )
    .addArgument(new Argument('[what]', 'nothing shows the rules').choices(['on', 'off', 'observe', 'log']));
  declare(
    examples(
      balance,
      ['balance', 'the rules, and why they act or not'],
      ['balance log', 'the last actions'],
      ['balance observe', 'only say what would be done'],
    ),
    async (session: Session, what: string | undefined) => {
      if (what === undefined || what === 'log') {
        const view = await session.cluster.call('Balance', {});
        if (what === 'log') session.rows(view.reports, REPORT_COLUMNS, view.reports);
        else session.rows(view, DUTY_COLUMNS, view.duties);
        return;
      }
      const settings: SettingView[] = [];
      for (const name of SWITCHED) settings.push(await session.cluster.call('SetSetting', { name, value: what }));
      session.outcome(settings, settings.map(({ name, value }) => `${name} is ${value}`).join('\n'));
    },
  );
  const work = program
    .command('work')
    .summary('background work that one node does for all')
    .description('Units of background work and the nodes that have leased them.');
  declare(examples(work, ['work', 'who does what']), async (session: Session) => {
    const view = await session.cluster.call('Balance', {});
    session.rows(view.work, WORK_COLUMNS, view.work);
  });
}
