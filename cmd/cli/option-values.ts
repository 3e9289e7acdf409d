/** Values of options that several commands have. */
import { isIP } from 'node:net';
import { InvalidArgumentError } from 'commander';

/** RFC 1123 names, in which an underscore is let pass, as names of containers have them. */
const DNS_NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)*$/i;

/** A machine: its DNS name or its IP address. @throws InvalidArgumentError */
export function parseHost(text: string): string {
  if (isIP(text) !== 0 || DNS_NAME.test(text)) return text;
  throw new InvalidArgumentError('It must be a DNS name or an IP address.');
}

/** Parses a whole number from `min` to `max`. @throws InvalidArgumentError */
export function parseCount(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < min || value > max)
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** Where a server listens. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Parses `host:port`, or several with commas; a port alone is on this machine. @throws InvalidArgumentError */
export function parseTargets(text: string): Endpoint[] {
  return text.split(',').map((part) => {
    const match = /^(?:(.+):)?(\d{1,5})$/.exec(part.trim());
    if (!match || Number(match[2]) > 65535)
      throw new InvalidArgumentError('It must be host:port, or several with commas.');
    return { host: (match[1] ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port: Number(match[2]) };
  });
}
