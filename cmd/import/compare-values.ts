/** Whether two values are the same to a client, whatever form their bytes have. */
import type { RdbValue } from '../../src/adapter/redis/index.ts';

/** Fields and members have no order; times of fields may differ by this, because commands take time. */
const TIME_TOLERANCE_MS = 1_000;

const text = (bytes: Buffer): string => bytes.toString('latin1');

/** @returns what differs, in a few words; undefined for equal ones */
export function differenceOf(left: RdbValue, right: RdbValue): string | undefined {
  if (left.type !== right.type) return `a ${left.type} there, a ${right.type} here`;
  switch (left.type) {
    case 'string':
      return left.bytes.equals((right as typeof left).bytes) ? undefined : 'another text';
    case 'list': {
      const { values } = right as typeof left;
      if (values.length !== left.values.length) return sizes(left.values.length, values.length);
      const at = left.values.findIndex((value, index) => !value.equals(values[index]!));
      return at < 0 ? undefined : `another value at ${at}`;
    }
    case 'set': {
      const { members } = right as typeof left;
      if (members.length !== left.members.length) return sizes(left.members.length, members.length);
      const there = new Set(left.members.map(text));
      return members.every((member) => there.has(text(member))) ? undefined : 'other members';
    }
    case 'zset': {
      const { members } = right as typeof left;
      if (members.length !== left.members.length) return sizes(left.members.length, members.length);
      const there = new Map(left.members.map(({ member, score }) => [text(member), score]));
      const other = members.find(({ member, score }) => !isSameNumber(there.get(text(member)), score));
      return other === undefined ? undefined : `another score, or none, for ${JSON.stringify(text(other.member))}`;
    }
    case 'hash': {
      const { fields } = right as typeof left;
      if (fields.length !== left.fields.length) return sizes(left.fields.length, fields.length);
      const there = new Map(left.fields.map((each) => [text(each.field), each]));
      const other = fields.find(({ field, value, expiresMs }) => {
        const before = there.get(text(field));
        return before === undefined || !before.value.equals(value) || !isSameTime(before.expiresMs, expiresMs);
      });
      return other === undefined
        ? undefined
        : `another value or expiry, or none, in ${JSON.stringify(text(other.field))}`;
    }
    case 'stream':
      return streamDifference(left, right as typeof left);
  }
}

type Stream = Extract<RdbValue, { type: 'stream' }>;

function streamDifference(left: Stream, right: Stream): string | undefined {
  if (left.entries.length !== right.entries.length) return sizes(left.entries.length, right.entries.length);
  const entryText = ({ id, parts }: Stream['entries'][number]): string =>
    `${text(id)} ${JSON.stringify(parts.map(text))}`;
  const at = left.entries.findIndex((entry, index) => entryText(entry) !== entryText(right.entries[index]!));
  if (at >= 0) return `another entry at ${at}`;
  if (!left.lastId.equals(right.lastId)) return 'another last id';
  return groupsText(left) === groupsText(right) ? undefined : 'other groups of consumers';
}

/** Groups without the times at which something was delivered or seen. */
function groupsText({ groups }: Stream): string {
  const described = groups.map(({ name, lastDelivered, consumers, pending }) => [
    text(name),
    text(lastDelivered),
    consumers.map((consumer) => text(consumer.name)).sort(),
    pending.map(({ id, deliveries, consumer }) => `${text(id)} ${deliveries} ${text(consumer)}`).sort(),
  ]);
  return JSON.stringify(described.map((each) => JSON.stringify(each)).sort());
}

const sizes = (left: number, right: number): string => `${left} elements there, ${right} here`;

/** Zero has two forms, of which a client sees one. */
const isSameNumber = (left: number | undefined, right: number): boolean => left !== undefined && left === right;

/** @param left unix milliseconds; undefined is never */
export function isSameTime(left: number | undefined, right: number | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return Math.abs(left - right) <= TIME_TOLERANCE_MS;
}
