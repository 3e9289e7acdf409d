/**
 * A setting is declared once. Its flag, its environment variable, its place in a configuration file, its validation, the
 * help text and the reference page are all derived from that declaration.
 */
import { HIDDEN, Secret } from '../security/index.ts';

/** The value's written form is refused; the message completes "<key>: ...". */
export class InvalidSettingValue extends Error {
  override readonly name = 'InvalidSettingValue';
}

export interface Setting<T> {
  /** What a reader sees in place of the value: `<port>`. */
  readonly placeholder: string;
  /** One sentence without a full stop. */
  readonly description: string;
  readonly defaultValue: T;
  /** A bare flag means `true`. */
  readonly isSwitch: boolean;
  /** The value is never shown, and never put on a command line, where every user of the machine can read it. */
  readonly isSecret?: boolean;
  /**
   * From what a person wrote (always text for flags and environment, any plain value in a file) to the value.
   * @throws InvalidSettingValue
   */
  parse(raw: unknown): T;
  /** Written form that `parse` reads back to the same value; of a secret, what is shown instead. */
  format(value: T): string;
}

/** A named set of settings; the names are dotted keys. */
export type SettingSet = Readonly<Record<string, Setting<unknown>>>;

/** The values of a set, by key. */
export type SettingValues<S extends SettingSet> = {
  readonly [Key in keyof S]: S[Key] extends Setting<infer T> ? T : never;
};

/** `redis.maxBulkBytes` → `redis-max-bulk-bytes`, the flag without its dashes. */
export const flagName = (key: string): string =>
  key
    .replaceAll('.', '-')
    .replace(/[A-Z]/g, (capital) => `-${capital}`)
    .toLowerCase();

/** `redis.maxBulkBytes` → `KVORUM_REDIS_MAX_BULK_BYTES`. */
export const environmentName = (key: string): string => `KVORUM_${flagName(key).replaceAll('-', '_').toUpperCase()}`;

/**
 * The command line that gives exactly these values, whatever the environment and the defaults of the reader are. Secrets
 * are left out: `secretEnvironment` has them.
 */
export function formatFlags<S extends SettingSet>(settings: S, values: SettingValues<S>): string[] {
  const flags: string[] = [];
  for (const [key, setting] of Object.entries(settings)) {
    const value: unknown = values[key];
    const name = flagName(key);
    if (setting.isSecret) continue;
    if (setting.isSwitch) flags.push(value === true ? `--${name}` : `--no-${name}`);
    else {
      const written = setting.format(value);
      if (written !== '') flags.push(`--${name}=${written}`);
    }
  }
  return flags;
}

/** Environment variables with exactly the secrets of these values; one that is not set is empty. */
export function secretEnvironment<S extends SettingSet>(settings: S, values: SettingValues<S>): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [key, setting] of Object.entries(settings)) {
    if (!setting.isSecret) continue;
    const value: unknown = values[key];
    environment[environmentName(key)] = value instanceof Secret ? value.reveal() : '';
  }
  return environment;
}

/** How a port is written that is not to be. */
export const NO_PORT = 'none';

const shown = (raw: unknown): string => (typeof raw === 'string' ? JSON.stringify(raw) : String(JSON.stringify(raw)));

interface Common<T> {
  readonly description: string;
  readonly defaultValue: T;
}

/** A whole number in `[min, max]`. */
export function integerSetting(
  common: Common<number> & { readonly min: number; readonly max: number; readonly placeholder?: string },
): Setting<number> {
  const { min, max } = common;
  return {
    placeholder: common.placeholder ?? 'number',
    description: common.description,
    defaultValue: common.defaultValue,
    isSwitch: false,
    parse(raw) {
      const value = typeof raw === 'string' && /^\s*-?\d+\s*$/.test(raw) ? Number(raw) : raw;
      if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
        throw new InvalidSettingValue(`must be a whole number from ${min} to ${max}, not ${shown(raw)}`);
      }
      return value;
    },
    format: String,
  };
}

/** A TCP port; 0 asks the system for a free one. */
export const portSetting = (common: Common<number>): Setting<number> =>
  integerSetting({ ...common, min: 0, max: 65535, placeholder: 'port' });

/** A TCP port, or `none`; 0 asks the system for a free one. */
export function optionalPortSetting(common: Common<number | undefined>): Setting<number | undefined> {
  const port = portSetting({ ...common, defaultValue: 0 });
  // Left out when it is the default, so that programs that do not know the setting can be given all others.
  const none = common.defaultValue === undefined ? '' : NO_PORT;
  return {
    ...port,
    ...common,
    parse: (raw) => (raw === '' || raw === NO_PORT ? undefined : port.parse(raw)),
    format: (value) => (value === undefined ? none : String(value)),
  };
}

/** A TCP port, `none`, or undefined while nobody has said it: what it is then follows from other settings. 0 asks the system for a free one. */
export function impliedPortSetting(common: {
  readonly description: string;
}): Setting<number | typeof NO_PORT | undefined> {
  const port = portSetting({ ...common, defaultValue: 0 });
  return {
    ...port,
    defaultValue: undefined,
    parse: (raw) => (raw === '' ? undefined : raw === NO_PORT ? NO_PORT : port.parse(raw)),
    format: (value) => (value === undefined ? '' : String(value)),
  };
}

/** Text of 1 to `maxLength` characters that matches `pattern`. */
export function textSetting(
  common: Common<string> & {
    readonly placeholder: string;
    readonly maxLength?: number;
    readonly pattern?: RegExp;
    readonly expected?: string;
  },
): Setting<string> {
  const { maxLength = 4096, pattern = /^[^\0]+$/, expected = 'must be text' } = common;
  return {
    placeholder: common.placeholder,
    description: common.description,
    defaultValue: common.defaultValue,
    isSwitch: false,
    parse(raw) {
      if (typeof raw !== 'string' || raw.length === 0 || raw.length > maxLength || !pattern.test(raw)) {
        throw new InvalidSettingValue(`${expected} of 1 to ${maxLength} characters, not ${shown(raw)}`);
      }
      return raw;
    },
    format: (value) => value,
  };
}

/** Text that may be left out. */
export function optionalTextSetting(description: string, placeholder: string): Setting<string> {
  const text = textSetting({ description, defaultValue: '', placeholder });
  return { ...text, parse: (raw) => (raw === '' ? '' : text.parse(raw)) };
}

/** The path of a file; none by default. */
export const optionalFileSetting = (description: string): Setting<string> => optionalTextSetting(description, 'file');

/** Text that is not shown to anybody; none by default. */
export function secretSetting(description: string, maxLength: number): Setting<Secret | undefined> {
  return {
    placeholder: 'text',
    description,
    defaultValue: undefined,
    isSwitch: false,
    isSecret: true,
    parse(raw) {
      if (raw === '') return undefined;
      // A number in a file would lose leading zeros; what was written is never repeated.
      if (typeof raw !== 'string') throw new InvalidSettingValue('must be text; in a file, put it in quotes');
      if (raw.length > maxLength) throw new InvalidSettingValue(`must be text of at most ${maxLength} characters`);
      return new Secret(raw);
    },
    format: (value) => (value === undefined ? '' : HIDDEN),
  };
}

/** On or off. */
export function switchSetting(common: Common<boolean>): Setting<boolean> {
  const spellings = new Map<unknown, boolean>([
    [true, true],
    ['true', true],
    ['yes', true],
    ['on', true],
    ['1', true],
    [false, false],
    ['false', false],
    ['no', false],
    ['off', false],
    ['0', false],
  ]);
  return {
    placeholder: 'yes|no',
    description: common.description,
    defaultValue: common.defaultValue,
    isSwitch: true,
    parse(raw) {
      const value = spellings.get(typeof raw === 'string' ? raw.trim().toLowerCase() : raw);
      if (value === undefined) throw new InvalidSettingValue(`must be yes or no, not ${shown(raw)}`);
      return value;
    },
    format: (value) => (value ? 'yes' : 'no'),
  };
}

/** One of a few words. */
export function choiceSetting<const Choice extends string>(
  common: Common<NoInfer<Choice>> & { readonly choices: readonly Choice[]; readonly placeholder: string },
): Setting<Choice> {
  return {
    placeholder: common.placeholder,
    description: `${common.description}: ${common.choices.join(', ')}`,
    defaultValue: common.defaultValue,
    isSwitch: false,
    parse(raw) {
      const found = common.choices.find((choice) => choice === raw);
      if (found === undefined) {
        throw new InvalidSettingValue(`must be one of ${common.choices.join(', ')}, not ${shown(raw)}`);
      }
      return found;
    },
    format: (value) => value,
  };
}

interface Unit {
  readonly suffix: string;
  readonly factor: number;
}

function quantitySetting(
  common: Common<number> & { readonly min: number; readonly max: number },
  placeholder: string,
  baseName: string,
  units: readonly Unit[],
): Setting<number> {
  const format = (value: number): string => {
    const unit = units.findLast((candidate) => value !== 0 && value % candidate.factor === 0) ?? units[0]!;
    return `${value / unit.factor}${unit.suffix}`;
  };
  return {
    placeholder,
    description: common.description,
    defaultValue: common.defaultValue,
    isSwitch: false,
    parse(raw) {
      const match = typeof raw === 'string' ? /^\s*(\d+)\s*([a-z]*)\s*$/i.exec(raw) : undefined;
      const unit = match ? units.find((candidate) => candidate.suffix === match[2]!.toLowerCase()) : undefined;
      let value: unknown = raw;
      if (match) value = match[2] === '' ? Number(match[1]) : unit && Number(match[1]) * unit.factor;
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
        const suffixes = units.map((candidate) => candidate.suffix).join(', ');
        throw new InvalidSettingValue(`must be ${baseName} or a number with one of ${suffixes}, not ${shown(raw)}`);
      }
      if (value < common.min || value > common.max) {
        throw new InvalidSettingValue(`must be from ${format(common.min)} to ${format(common.max)}, not ${shown(raw)}`);
      }
      return value;
    },
    format,
  };
}

/** A duration: a bare number is milliseconds, and `250ms`, `10s`, `30m`, `1h` may be written. */
export const durationSetting = (
  common: Common<number> & { readonly min: number; readonly max: number },
): Setting<number> =>
  quantitySetting(common, 'duration', 'a number of milliseconds', [
    { suffix: 'ms', factor: 1 },
    { suffix: 's', factor: 1000 },
    { suffix: 'm', factor: 60_000 },
    { suffix: 'h', factor: 3_600_000 },
  ]);

/** A size: a bare number is bytes, and `64kb`, `512mb`, `1gb` (powers of 1024) may be written. */
export const sizeSetting = (common: Common<number> & { readonly min: number; readonly max: number }): Setting<number> =>
  quantitySetting(common, 'size', 'a number of bytes', [
    { suffix: 'b', factor: 1 },
    { suffix: 'kb', factor: 1024 },
    { suffix: 'mb', factor: 1024 ** 2 },
    { suffix: 'gb', factor: 1024 ** 3 },
  ]);

/** A founding member of a cluster. */
export interface Member {
  readonly nodeId: number;
  /** `host:port` of its gRPC listener, as the other members reach it. */
  readonly address: string;
}

const MAX_NODE_ID = 65535;
const MEMBER_FORM = /^([1-9]\d{0,4})=((?:\[[0-9a-f:.]+\]|[a-z0-9._-]+):(\d{1,5}))$/i;

function parseMember(raw: unknown): Member {
  const match = typeof raw === 'string' ? MEMBER_FORM.exec(raw.trim()) : undefined;
  const nodeId = Number(match?.[1]);
  const port = Number(match?.[3]);
  if (!match || nodeId > MAX_NODE_ID || port < 1 || port > 65535) {
    throw new InvalidSettingValue(
      `a member is written <node id>=<host>:<port>, for example 2=10.0.0.2:50051, not ${shown(raw)}`,
    );
  }
  return { nodeId, address: match[2]! };
}

/** The founding members: `1=host:port,2=host:port`, or in a file a list of such texts. No two may share an id or an address. */
export function memberListSetting(common: Common<readonly Member[]>): Setting<readonly Member[]> {
  return {
    placeholder: 'id=host:port,...',
    description: common.description,
    defaultValue: common.defaultValue,
    isSwitch: false,
    parse(raw) {
      const items = typeof raw === 'string' ? raw.split(',').filter((item) => item.trim() !== '') : raw;
      if (!Array.isArray(items)) {
        throw new InvalidSettingValue(`must be a list of <node id>=<host>:<port>, not ${shown(raw)}`);
      }
      const members = items.map(parseMember).sort((left, right) => left.nodeId - right.nodeId);
      const ids = new Set(members.map((member) => member.nodeId));
      const addresses = new Set(members.map((member) => member.address.toLowerCase()));
      if (ids.size < members.length) throw new InvalidSettingValue('names one node id twice');
      if (addresses.size < members.length) throw new InvalidSettingValue('names one address twice');
      return members;
    },
    format: (members) => members.map((member) => `${member.nodeId}=${member.address}`).join(','),
  };
}
