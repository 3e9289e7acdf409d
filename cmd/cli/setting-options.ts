/** Command-line flags made from the declarations of the settings. */
import { type Command, Option } from 'commander';
import { environmentName, flagName, type LoadedConfig, loadConfig, type SettingSet } from '../../src/config/index.ts';

/** Name under which commander stores the flag of a key: `redis.port` → `redisPort`. */
const attributeName = (key: string): string => key.replace(/\.([a-z])/g, (_, letter: string) => letter.toUpperCase());

const GROUPS = new Map([
  ['redis', 'Redis clients:'],
  ['grpc', 'Between nodes:'],
  ['snapshots', 'Between nodes:'],
  ['raft', 'Raft:'],
  ['metrics', 'Metrics and health:'],
]);

/** Adds one flag a setting, grouped by the first part of its key, and `--config`. */
export function addSettingOptions(command: Command, settings: SettingSet): void {
  command.option('-c, --config <file>', 'YAML or JSON file with settings');
  for (const [key, setting] of Object.entries(settings)) {
    const name = flagName(key);
    const group = key.includes('.') ? GROUPS.get(key.slice(0, key.indexOf('.'))) : undefined;
    const written = setting.format(setting.defaultValue);
    const shownDefault = written === '' ? '' : ` (default: ${written})`;
    const flag = setting.isSwitch ? `--${name}` : `--${name} <${setting.placeholder}>`;
    const option = new Option(flag, `${setting.description}${shownDefault}`);
    command.addOption(group === undefined ? option : option.helpGroup(group));
    if (setting.isSwitch) command.addOption(new Option(`--no-${name}`).hideHelp());
  }
}

/** Flags given on this command line, then the environment, then the file. @throws ConfigError */
export function loadSettings<S extends SettingSet>(settings: S, options: Record<string, unknown>): LoadedConfig<S> {
  const flags: Record<string, unknown> = {};
  for (const key of Object.keys(settings)) flags[key] = options[attributeName(key)];
  const filePath = typeof options.config === 'string' ? options.config : process.env[environmentName('config')];
  return loadConfig(settings, { flags, environment: process.env, filePath: filePath || undefined });
}
