/** `settings`, `features`, and the shortcut `autosplit`. */
import { Argument, type Command } from 'commander';
import type { FeatureView, SettingView } from '../../../src/cluster/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatTime } from '../values.ts';

const SETTING_COLUMNS: readonly Column<SettingView>[] = [
  { name: 'setting', value: (setting) => setting.name },
  { name: 'value', value: (setting) => setting.value },
  { name: 'set', value: (setting) => (setting.isDefault ? 'default' : 'yes') },
  { name: 'may be', value: (setting) => setting.allowed || '-' },
  { name: 'what it does', value: (setting) => setting.description },
];

const FEATURE_COLUMNS: readonly Column<FeatureView>[] = [
  { name: 'feature', value: (feature) => feature.name },
  { name: 'state', value: (feature) => (feature.isActive ? 'active' : 'off') },
  { name: 'since', value: (feature) => formatTime(feature.activatedMs) },
  { name: 'missing on', value: (feature) => feature.missingOn.join(',') || '-' },
  { name: 'what it is', value: (feature) => feature.description },
];

/** Adds the commands. */
export function addSwitchCommands(program: Command, declare: Declare): void {
  addSettings(program, declare);
  addShortcut(program, declare, 'autosplit', 'automatic splits of hot ranges', ['autosplit']);
  addFeatures(program, declare);
}

function addSettings(program: Command, declare: Declare): void {
  const settings = examples(
    program
      .command('settings')
      .summary('replicated settings of the whole cluster')
      .description('Settings live in the catalog and hold on every node within a second.'),
    ['settings get', 'all of them'],
    ['settings set autosplit on', 'one of them'],
  );
  const get = settings
    .command('get')
    .summary('what is set')
    .description('All settings, or one.')
    .argument('[name]', 'only this one');
  declare(
    examples(get, ['settings get', 'all'], ['settings get autosplit -w simple | cut -f2', 'one value, for a script']),
    async (session: Session, name: string | undefined) => {
      const reply = await session.cluster.call('ListSettings', { name: name ?? '' });
      if (name !== undefined && reply.settings.length === 0) {
        throw new CommandFailure(`there is no setting '${name}'; \`settings get\` lists all of them`);
      }
      session.rows(reply.settings, SETTING_COLUMNS, reply.settings);
    },
  );
  const set = settings
    .command('set')
    .summary('set one')
    .description('Without a value the setting goes back to its default.')
    .argument('<name>', 'name of the setting')
    .argument('[value]', 'its value');
  declare(
    examples(set, ['settings set ranges.max 5000', 'a number'], ['settings set ranges.max', 'the default again']),
    async (session: Session, name: string, value: string | undefined) => {
      const setting = await session.cluster.call('SetSetting', { name, value: value ?? '' });
      session.outcome(setting, `${setting.name} is ${setting.value}${setting.isDefault ? ', its default' : ''}`);
    },
  );
}

/** A word for one or two settings that are switches. */
function addShortcut(program: Command, declare: Declare, word: string, what: string, names: readonly string[]): void {
  const command = program
    .command(word)
    .summary(`${what}: on, off, observe`)
    .description(`Switches ${what} (${names.join(', ')}). observe: only logs what would be done.`)
    .addArgument(new Argument('[mode]', 'nothing shows what holds now').choices(['on', 'off', 'observe']));
  declare(
    examples(command, [`${word} on`, 'from now on'], [word, 'what holds now']),
    async (session: Session, mode: string | undefined) => {
      const settings: SettingView[] = [];
      for (const name of names) {
        if (mode === undefined) settings.push(...(await session.cluster.call('ListSettings', { name })).settings);
        else settings.push(await session.cluster.call('SetSetting', { name, value: mode }));
      }
      session.outcome(settings, settings.map(({ name, value }) => `${name} is ${value}`).join('\n'));
    },
  );
}

function addFeatures(program: Command, declare: Declare): void {
  const features = examples(
    program
      .command('features')
      .summary('features that the cluster switches on for good')
      .description('A feature can be activated when the programs of all nodes can do it.'),
    ['features list', 'which there are'],
    ['features activate ranges.move --yes', 'for good'],
  );
  const list = features
    .command('list')
    .summary('which features there are')
    .description('All features, whether they are active, and the nodes that stand in the way.');
  declare(examples(list, ['features list', 'before and after an upgrade']), async (session: Session) => {
    const reply = await session.cluster.call('ListFeatures', {});
    session.rows(reply.features, FEATURE_COLUMNS, reply.features);
  });
  const activate = features
    .command('activate')
    .summary('switch one on, for good')
    .description('From then on no node without the feature may join, and older programs cannot come back.')
    .argument('<name>', 'name of the feature');
  declare(
    examples(activate, ['features activate ranges.move', 'asks before it does it']),
    async (session: Session, name: string) => {
      await session.confirm(`Feature ${name} will be active for good: no node with an older program can come back.`);
      const feature = await session.cluster.call('ActivateFeature', { name });
      session.outcome(feature, `feature ${feature.name} is active since ${formatTime(feature.activatedMs)}`);
    },
  );
}
