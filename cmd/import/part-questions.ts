/** What a cluster is asked about a value that comes in parts, and how its answers are held against the file. */
import type { RdbValue } from '../../src/adapter/redis/index.ts';
import type { CommandLine } from '../redis/index.ts';

type Stream = Extract<RdbValue, { type: 'stream' }>;
type Answers = readonly unknown[];

/** What tells whether something is there. Refusals of the cluster are not for `differenceIn`. */
export interface Questions {
  readonly commands: readonly CommandLine[];
  /** @returns what differs; undefined for nothing */
  readonly differenceIn: (answers: Answers) => string | undefined;
}

const OTHER_ELEMENTS = 'other elements';
const OTHER_GROUPS = 'other groups of consumers';
const differs = (isSame: boolean, detail: string): string | undefined => (isSame ? undefined : detail);

/** Of a group, over all parts of its stream. */
interface GroupTotals {
  readonly lastDelivered: Buffer;
  consumers: Set<string>;
  pending: number;
}

/** Asks about the parts of one value, in the order of the file. */
export class PartQuestions {
  private readonly key: Buffer;
  /** Elements of the parts so far. */
  private size = 0;
  private type: RdbValue['type'] = 'string';
  private stream: Pick<Stream, 'lastId' | 'maxDeletedId' | 'entriesAdded'> | undefined;
  private readonly groups = new Map<string, GroupTotals>();

  constructor(key: Buffer) {
    this.key = key;
  }

  /** About the next part. */
  about(value: RdbValue): Questions {
    const { key, size: before } = this;
    this.type = value.type;
    switch (value.type) {
      case 'list': {
        const { values } = value;
        this.size += values.length;
        return {
          commands: [['LRANGE', key, before, before + values.length - 1]],
          differenceIn: ([answer]) => {
            const found = answer as readonly Buffer[];
            const isSame = found.length === values.length && values.every((each, at) => each.equals(found[at]!));
            return differs(isSame, OTHER_ELEMENTS);
          },
        };
      }
      case 'set':
        this.size += value.members.length;
        return {
          commands: [['SMISMEMBER', key, ...value.members]],
          differenceIn: ([answer]) =>
            differs(
              (answer as readonly number[]).every((one) => one === 1),
              OTHER_ELEMENTS,
            ),
        };
      case 'zset': {
        const { members } = value;
        this.size += members.length;
        const isSame = ([answer]: Answers): boolean =>
          members.every(({ score }, at) => scoreIn((answer as readonly (Buffer | null)[])[at]) === score);
        return {
          commands: [['ZMSCORE', key, ...members.map(({ member }) => member)]],
          differenceIn: (answers) => differs(isSame(answers), OTHER_ELEMENTS),
        };
      }
      case 'hash': {
        const { fields } = value;
        this.size += fields.length;
        const isSame = ([answer]: Answers): boolean =>
          fields.every((each, at) => (answer as readonly (Buffer | null)[])[at]?.equals(each.value) === true);
        return {
          commands: [['HMGET', key, ...fields.map(({ field }) => field)]],
          differenceIn: (answers) => differs(isSame(answers), OTHER_ELEMENTS),
        };
      }
      case 'stream':
        return this.aboutStream(value);
      case 'string':
        throw new Error('a string has no parts');
    }
  }

  /** About the whole, behind the last part: what no part tells. */
  aboutAll(): Questions {
    const { key, size, type } = this;
    const count: CommandLine = [
      { list: 'LLEN', set: 'SCARD', zset: 'ZCARD', hash: 'HLEN', stream: 'XLEN', string: 'STRLEN' }[type],
      key,
    ];
    const differenceOfSize = (length: unknown): string | undefined =>
      differs(length === size, `${size} elements there, ${String(length)} here`);
    const { stream } = this;
    if (stream === undefined) return { commands: [count], differenceIn: ([length]) => differenceOfSize(length) };
    return {
      commands: [count, ['XINFO', 'STREAM', key], ['XINFO', 'GROUPS', key]],
      differenceIn: ([length, about, groups]) =>
        differenceOfSize(length) ?? this.differenceOfStream(stream, about as Answers, groups as readonly Answers[]),
    };
  }

  private aboutStream(stream: Stream): Questions {
    const { key } = this;
    const { entries, groups } = stream;
    this.size += entries.length;
    this.stream = stream;
    const commands: CommandLine[] = [];
    const checks: ((answer: unknown) => string | undefined)[] = [];
    if (entries.length > 0) {
      commands.push(['XRANGE', key, idText(entries[0]!.id), idText(entries.at(-1)!.id)]);
      checks.push((answer) =>
        differs(areEntries(entries, answer as readonly [Buffer, readonly Buffer[]][]), OTHER_ELEMENTS),
      );
    }
    for (const { name, lastDelivered, consumers, pending } of groups) {
      const totals = this.totalsOf(name, lastDelivered);
      for (const consumer of consumers) totals.consumers.add(consumer.name.toString('latin1'));
      totals.pending += pending.length;
      commands.push(['XINFO', 'CONSUMERS', key, name]);
      checks.push((answer) => {
        const there = new Set((answer as readonly Answers[]).map((each) => textOf(fieldOf(each, 'name'))));
        return differs(
          consumers.every((each) => there.has(each.name.toString('latin1'))),
          OTHER_GROUPS,
        );
      });
      for (const consumer of consumers) {
        const own = pending.filter((each) => each.consumer.equals(consumer.name));
        if (own.length === 0) continue;
        const [first, last] = [own[0]!, own.at(-1)!];
        commands.push(['XPENDING', key, name, idText(first.id), idText(last.id), own.length, consumer.name]);
        checks.push((answer) => {
          const found = answer as readonly [Buffer, Buffer, number, number][];
          const isSame =
            found.length === own.length &&
            own.every(({ id, deliveries }, at) => textOf(found[at]![0]) === idText(id) && found[at]![3] === deliveries);
          return differs(isSame, OTHER_GROUPS);
        });
      }
    }
    return {
      commands,
      differenceIn: (answers) => {
        for (const [at, check] of checks.entries()) {
          const difference = check(answers[at]);
          if (difference !== undefined) return difference;
        }
        return undefined;
      },
    };
  }

  private totalsOf(name: Buffer, lastDelivered: Buffer): GroupTotals {
    const text = name.toString('latin1');
    let totals = this.groups.get(text);
    if (totals === undefined) {
      totals = { lastDelivered, consumers: new Set(), pending: 0 };
      this.groups.set(text, totals);
    }
    return totals;
  }

  private differenceOfStream(
    { lastId, maxDeletedId, entriesAdded }: Pick<Stream, 'lastId' | 'maxDeletedId' | 'entriesAdded'>,
    about: Answers,
    groups: readonly Answers[],
  ): string | undefined {
    if (textOf(fieldOf(about, 'last-generated-id')) !== idText(lastId)) return 'another last id';
    const isSame =
      textOf(fieldOf(about, 'max-deleted-entry-id')) === idText(maxDeletedId) &&
      textOf(fieldOf(about, 'entries-added')) === String(entriesAdded);
    if (!isSame) return 'other counts of what was added and deleted';
    const areSame =
      groups.length === this.groups.size &&
      groups.every((group) => {
        const totals = this.groups.get(textOf(fieldOf(group, 'name')));
        return (
          totals !== undefined &&
          textOf(fieldOf(group, 'last-delivered-id')) === idText(totals.lastDelivered) &&
          fieldOf(group, 'consumers') === totals.consumers.size &&
          fieldOf(group, 'pending') === totals.pending
        );
      });
    return differs(areSame, OTHER_GROUPS);
  }
}

/** An id of 16 bytes as it stands on the wire. */
const idText = (id: Buffer): string => `${id.readBigUInt64BE()}-${id.readBigUInt64BE(8)}`;

const textOf = (value: unknown): string => (Buffer.isBuffer(value) ? value.toString('latin1') : String(value));

/** A field of what XINFO answers in RESP2: names and values, one after the other. */
function fieldOf(answer: Answers, name: string): unknown {
  const at = answer.findIndex((each, index) => index % 2 === 0 && textOf(each) === name);
  return at < 0 ? undefined : answer[at + 1];
}

function areEntries(entries: Stream['entries'], found: readonly (readonly [Buffer, readonly Buffer[]])[]): boolean {
  if (found.length !== entries.length) return false;
  return entries.every(({ id, parts }, at) => {
    const [text, fields] = found[at]!;
    return (
      textOf(text) === idText(id) && fields.length === parts.length && parts.every((part, n) => part.equals(fields[n]!))
    );
  });
}

/** Zeros with a sign count as zero. */
function scoreIn(answer: Buffer | null | undefined): number {
  const words = answer?.toString('latin1') ?? 'nan';
  return words.endsWith('inf') ? Number(words.replace('inf', 'Infinity')) : Number(words);
}
