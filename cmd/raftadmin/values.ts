/** Values of flags and arguments, and figures for people. */
import { InvalidArgumentError } from 'commander';
import { KeyTextError } from '../../src/distribution/index.ts';
import {
  type HlcTimestamp,
  hlcTimestamp,
  MAX_LOGICAL,
  MAX_TIMESTAMP_MS,
  timestampOf,
} from '../../src/platform/index.ts';
import { parseKey } from './keys.ts';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `500ms`, `5s`, `2m`, `1h`; a bare number is seconds. In milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const ms = match === null ? 0 : Number(match[1]) * UNITS[match[2] ?? 's']!;
  if (ms <= 0 || ms > 24 * UNITS.h!) throw new InvalidArgumentError('It must be a duration such as 500ms, 5s or 2m.');
  return ms;
}

const LONG_UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30m`, `6h`, `7d`; up to `maxDays`. In milliseconds. */
export function parseLongDuration(maxDays: number): (text: string) => number {
  return (text) => {
    const match = /^(\d+)([mhd])$/.exec(text);
    const ms = match === null ? 0 : Number(match[1]) * LONG_UNITS[match[2]!]!;
    if (ms > 0 && ms <= maxDays * LONG_UNITS.d!) return ms;
    throw new InvalidArgumentError(`It must be a duration such as 30m, 6h or 7d, at most ${maxDays}d.`);
  };
}

/** A parser of whole numbers in a range. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

export const parseGroupId = wholeNumber(1, 0xffff_ffff);
export const parseNodeId = wholeNumber(1, 0xffff);
export const parseId = wholeNumber(1, Number.MAX_SAFE_INTEGER);

/** The 16 bytes that name a request, so that it may be sent again. */
export function parseRequestName(text: string): Buffer {
  if (!/^[0-9a-fA-F]{32}$/.test(text)) throw new InvalidArgumentError('It must be 32 hexadecimal digits.');
  return Buffer.from(text, 'hex');
}

/** `1,2,3` */
export const parseNodeIds = (text: string): number[] => text.split(',').map((part) => parseNodeId(part.trim()));

/** Each argument of `[group...]`. */
export const collectGroupIds = (text: string, before: number[] | undefined): number[] => [
  ...(before ?? []),
  parseGroupId(text),
];

/** A key on the command line. */
export function parseKeyArgument(text: string): Buffer {
  try {
    return parseKey(text);
  } catch (error) {
    if (error instanceof KeyTextError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

/** Each argument of `<key...>`. */
export const collectKeys = (text: string, before: Buffer[] | undefined): Buffer[] => [
  ...(before ?? []),
  parseKeyArgument(text),
];

/** `127.0.0.1:50051,[::1]:50052` */
export function parseEndpoints(text: string): string[] {
  const endpoints = text.split(',').map((part) => part.trim());
  for (const endpoint of endpoints) {
    const port = /^(?:\[[^\]]+\]|[^:\s]+):(\d{1,5})$/.exec(endpoint)?.[1];
    if (port === undefined || Number(port) > 65_535 || Number(port) === 0) {
      throw new InvalidArgumentError(`'${endpoint}' is not host:port; several are separated by commas.`);
    }
  }
  return endpoints;
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 1536 → `1.5 KiB`; undefined → `-`. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined) return '-';
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** 90500 → `1m30s`; below ten seconds `1.5s`. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  if (seconds < 60) return `${Math.round(seconds)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${String(Math.floor(seconds % 60)).padStart(2, '0')}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h${String(minutes % 60).padStart(2, '0')}m` : `${Math.floor(hours / 24)}d${hours % 24}h`;
}

/** A moment of the groups' time, to the millisecond, as it is given to commands; 0 is none. */
export const formatMoment = (ms: number): string => (ms === 0 ? '-' : new Date(ms).toISOString());

/**
 * A moment: `2026-01-02T03:04:05.678Z`, unix milliseconds, or a timestamp of the groups in decimal. Of a millisecond everything that was committed in it
 * belongs to the moment.
 */
export function parseMoment(text: string): HlcTimestamp {
  if (/^\d{10,20}$/.test(text)) {
    const number = BigInt(text);
    if (number > BigInt(MAX_TIMESTAMP_MS)) return hlcTimestamp(number);
    return timestampOf(Number(number), MAX_LOGICAL);
  }
  const ms = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms) || ms <= 0) {
    throw new InvalidArgumentError(
      'It must be a moment such as 2026-01-02T03:04:05.678Z, with its zone, or unix milliseconds.',
    );
  }
  return timestampOf(ms, MAX_LOGICAL);
}

/** Unix milliseconds as UTC to the second; 0 is never. */
export const formatTime = (ms: number): string =>
  ms === 0 ? '-' : `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;
