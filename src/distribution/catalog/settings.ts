/** The replicated settings that there are, what they may be, and what holds while nobody has set them. */
import type { SettingRow } from '../contract/index.ts';

/** What a setting may be. */
export interface SettingRule {
  /** What holds while there is no row. */
  readonly initial: string;
  readonly description: string;
  /** Either a closed list of words, or a whole number between two bounds, or any of some letters, each once at most, or text of one line. */
  readonly values:
    | readonly string[]
    | { readonly min: number; readonly max: number }
    | { readonly letters: string }
    | { readonly maxLength: number };
}

/** `observe` prints what would be done and does nothing. */
export type SwitchValue = 'off' | 'observe' | 'on';

const SWITCH: readonly SwitchValue[] = ['off', 'observe', 'on'];

/** Every setting that this program knows. */
export const SETTINGS = {
  autosplit: { initial: 'on', description: 'splits hot ranges', values: SWITCH },
  'autosplit.score': {
    initial: '50000',
    description: 'weighted operations per minute from which on a range is hot: 4 a write, 1 a read',
    values: { min: 1_000, max: 1_000_000_000 },
  },
  automerge: { initial: 'observe', description: 'merges neighbours that are small and idle', values: SWITCH },
  'balance.leaders': { initial: 'on', description: 'spreads leaders over nodes', values: SWITCH },
  'balance.size': { initial: 'observe', description: 'spreads stored bytes over nodes', values: SWITCH },
  'backup.archiveEveryMs': {
    initial: '0',
    description: 'milliseconds between steps of the archive of changes, which lead from backups to any moment; 0: none',
    values: { min: 0, max: 3_600_000 },
  },
  'backup.archiveHoldMs': {
    initial: '21600000',
    description:
      'milliseconds that the past is kept for an archive of changes that does not get on; then it breaks off',
    values: { min: 60_000, max: 2_592_000_000 },
  },
  'backup.bytesPerSecond': {
    initial: '33554432',
    description: 'bytes a second that a node stores of backups, all together',
    values: { min: 65_536, max: 17_179_869_184 },
  },
  'backup.everyMs': {
    initial: '0',
    description: 'milliseconds between backups that the cluster makes by itself; 0 for none',
    values: { min: 0, max: 2_678_400_000 },
  },
  'backup.keepCount': {
    initial: '7',
    description: 'newest backups that are kept whatever their age',
    values: { min: 1, max: 10_000 },
  },
  'backup.keepMs': {
    initial: '0',
    description: 'milliseconds that backups are kept whatever their number; 0: only the newest are',
    values: { min: 0, max: 999_999_999_999 },
  },
  'backup.place': {
    initial: '',
    description: 'where backups go: s3://bucket/prefix, or a folder that all nodes share',
    values: { maxLength: 512 },
  },
  'features.auto': {
    initial: 'on',
    description: 'activates features as soon as the programs of all nodes can do them; there is no way back',
    values: ['off', 'on'],
  },
  'gc.retentionMs': {
    initial: '0',
    description: 'milliseconds that the past stays readable; 0: what the nodes are configured with (retentionMs)',
    values: { min: 0, max: 2_592_000_000 },
  },
  'ranges.max': {
    initial: '100000',
    description: 'number of ranges that automatic splits never pass',
    values: { min: 16, max: 1_000_000 },
  },
  'ranges.bytes': {
    initial: '1073741824',
    description: 'bytes of a range that is considered full',
    values: { min: 1_048_576, max: 1_099_511_627_776 },
  },
  'redis.keyspaceEvents': {
    initial: '',
    description: "events of keys that Redis clients may listen to, in the letters of Redis' notify-keyspace-events",
    values: { letters: 'g$lshzxetdnKEm' },
  },
  'time.caughtUpAt': {
    initial: '0',
    description:
      'when clocks will have caught up with a time that was accepted though it leads them, see accept_time; 0 for none',
    values: { min: 0, max: 999_999_999_999_999 },
  },
  'tso.group': {
    initial: '1',
    description: 'group whose leader grants the timestamps of what spans groups; 0 for none: nothing may span groups',
    values: { min: 0, max: 4_294_967_295 },
  },
  'tso.shadow': {
    initial: '0',
    description: "group whose clock is compared with the nodes' own before it becomes the oracle; 0 for none",
    values: { min: 0, max: 4_294_967_295 },
  },
} as const satisfies { readonly [name: string]: SettingRule };

export type SettingName = keyof typeof SETTINGS;

/** Why `value` cannot be that of a setting; undefined when it can. The empty value, which removes the row, always can. */
export function settingProblem(name: string, value: string): string | undefined {
  if (!Object.hasOwn(SETTINGS, name)) {
    return `there is no setting '${name}'; there are ${Object.keys(SETTINGS).join(', ')}`;
  }
  const { values }: SettingRule = SETTINGS[name as SettingName];
  if (value === '') return undefined;
  if ('min' in values) {
    const isNumber = /^\d{1,15}$/.test(value) && Number(value) >= values.min && Number(value) <= values.max;
    return isNumber ? undefined : `${name} is a whole number from ${values.min} to ${values.max}`;
  }
  if ('maxLength' in values) {
    const isLine = value.length <= values.maxLength && /^[ -~]+$/.test(value);
    return isLine ? undefined : `${name} is one line of at most ${values.maxLength} plain characters`;
  }
  if ('letters' in values) {
    const areLetters = [...value].every(
      (letter, at) => values.letters.includes(letter) && !value.includes(letter, at + 1),
    );
    return areLetters ? undefined : `${name} is made of the letters ${values.letters}, each once at most`;
  }
  return values.includes(value) ? undefined : `${name} is one of ${values.join(', ')}`;
}

/** What a setting is at present. */
export function settingOf(clusterState: { readonly settings: readonly SettingRow[] }, name: SettingName): string {
  const row = clusterState.settings.find((candidate) => candidate.name === name);
  return row === undefined ? SETTINGS[name].initial : row.value;
}

/** A setting that is a switch. A word that only a newer program knows is `off`. */
export function switchOf(clusterState: { readonly settings: readonly SettingRow[] }, name: SettingName): SwitchValue {
  const value = settingOf(clusterState, name);
  return SWITCH.find((word) => word === value) ?? 'off';
}
