import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Decimal } from 'decimal.js';
import fc from 'fast-check';
import {
  applyUpdate,
  GET,
  ProjectedItems,
  readExpressions,
  UPDATE,
  type UpdatedItem,
} from '../../../../src/adapter/dynamodb/expressions/index.ts';
import { areEqualItems, readItem, wireItem } from '../../../../src/adapter/dynamodb/values/index.ts';
import {
  documents,
  ExpressionWriter,
  lookUp,
  type Path,
  paths,
  type Wire,
  type WireDocument,
  wires,
} from './reference.ts';

const KEYS = readItem({ p: { S: 'k' } });

function update(text: string, before: WireDocument | undefined, values?: WireDocument): UpdatedItem {
  const read = readExpressions({ UpdateExpression: text, ExpressionAttributeValues: values }, UPDATE);
  return applyUpdate(read.update!, before === undefined ? undefined : readItem(before), KEYS);
}

const plain = (item: ReadonlyMap<string, never> | UpdatedItem['item']): unknown =>
  item === undefined ? undefined : JSON.parse(JSON.stringify(wireItem(item)));

const after = (text: string, before: WireDocument | undefined, values?: WireDocument): unknown =>
  plain(update(text, before, values).item);

const n = (value: number): Wire => ({ N: String(value) });
const list = (...numbers: number[]): Wire => ({ L: numbers.map(n) });

type Action =
  | { readonly kind: 'SET'; readonly path: Path; readonly value: Wire }
  | { readonly kind: 'REMOVE'; readonly path: Path }
  | { readonly kind: 'ADD'; readonly path: Path; readonly value: Wire };

const actions: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant('SET' as const), path: paths, value: wires }),
  fc.record({ kind: fc.constant('REMOVE' as const), path: paths }),
  fc.record({
    kind: fc.constant('ADD' as const),
    path: paths,
    value: fc.constantFrom(n(1), n(2.5), { SS: ['a', 'z'] }),
  }),
);

const isPrefix = (a: Path, b: Path): boolean => a.every((part, at) => part === b[at]);
const areCompatible = (a: Path, b: Path): boolean => {
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    if (typeof a[at] !== typeof b[at]) return false;
    if (a[at] !== b[at]) return true;
  }
  return !isPrefix(a, b) && !isPrefix(b, a);
};

/** One action by itself, on a copy. @throws Error where the service refuses */
function alone(action: Action, item: WireDocument): WireDocument {
  const parent = action.path.length === 1 ? { M: item } : lookUp(action.path.slice(0, -1), item);
  const last = action.path.at(-1)!;
  const container = (typeof last === 'number' ? parent?.L : parent?.M) as Record<string | number, Wire> | undefined;
  if (container === undefined) throw new Error('invalid path');
  const old = Object.hasOwn(container, last) ? container[last] : undefined;
  let value: Wire | undefined;
  if (action.kind === 'SET') value = action.value;
  if (action.kind === 'ADD') {
    if (old !== undefined && Object.keys(old)[0] !== Object.keys(action.value)[0]) throw new Error('wrong type');
    if (action.value.N !== undefined)
      value = { N: new Decimal((old?.N as string) ?? 0).plus(action.value.N as string).toFixed() };
    else value = { SS: [...new Set([...((old?.SS as string[]) ?? []), ...(action.value.SS as string[])])].sort() };
  }
  const rebuild = (from: Wire | undefined, at: number): Wire | undefined => {
    if (at === action.path.length) return value;
    const part = action.path[at]!;
    if (typeof part === 'number') {
      const elements = [...(from!.L as Wire[])];
      const changed = rebuild(elements[part], at + 1);
      if (part < elements.length) elements.splice(part, 1, ...(changed === undefined ? [] : [changed]));
      else if (changed !== undefined) elements.push(changed);
      return { L: elements };
    }
    const entries = Object.entries(from!.M as WireDocument).filter(([name]) => name !== part);
    const changed = rebuild(
      Object.hasOwn(from!.M as object, part) ? (from!.M as WireDocument)[part] : undefined,
      at + 1,
    );
    return { M: Object.fromEntries(changed === undefined ? entries : [...entries, [part, changed]]) };
  };
  return rebuild({ M: item }, 0)!.M as WireDocument;
}

describe('an update', () => {
  test('does with several actions what each of them does, from the last index of a list to the first', () => {
    fc.assert(
      fc.property(documents, fc.array(actions, { minLength: 1, maxLength: 4 }), (item, wanted) => {
        fc.pre(wanted.every(({ path }, at) => wanted.slice(0, at).every((other) => areCompatible(other.path, path))));
        const writer = new ExpressionWriter();
        const clauses = (['SET', 'ADD', 'REMOVE'] as const).flatMap((kind) => {
          const own = wanted.filter((action) => action.kind === kind);
          const sign = kind === 'SET' ? '=' : ' ';
          const texts = own.map((action) =>
            action.kind === 'REMOVE'
              ? writer.path(action.path)
              : writer.path(action.path) + sign + writer.constant(action.value),
          );
          return own.length === 0 ? [] : [`${kind} ${texts.join(', ')}`];
        });
        const isAppend = ({ path }: Action): boolean => {
          const parent = lookUp(path.slice(0, -1), item)?.L as Wire[] | undefined;
          return parent !== undefined && (path.at(-1) as number) >= parent.length;
        };
        // Appends come in the order of their indexes, all others must not move what is still to be changed.
        const byPath = (a: Action, b: Action): number => {
          const at = a.path.findIndex((part, index) => part !== b.path[index]);
          const [left, right] = [a.path[at], b.path[at]];
          return typeof left === 'number' && typeof right === 'number' ? left - right : 0;
        };
        const inOrder = [...wanted].sort((a, b) =>
          isAppend(a) !== isAppend(b) ? (isAppend(a) ? -1 : 1) : isAppend(a) ? byPath(a, b) : byPath(b, a),
        );
        let expected: WireDocument | undefined = item;
        try {
          for (const action of inOrder) expected = alone(action, expected!);
        } catch {
          expected = undefined;
        }
        const read = readExpressions(
          {
            UpdateExpression: clauses.join(' '),
            ExpressionAttributeNames: writer.names,
            ExpressionAttributeValues: Object.keys(writer.values).length === 0 ? undefined : writer.values,
          },
          UPDATE,
        );
        if (expected === undefined) {
          assert.throws(
            () => applyUpdate(read.update!, readItem(item), KEYS),
            /invalid for update|incorrect data type/,
          );
          return;
        }
        const before = readItem(item);
        const copy = readItem(item);
        const found = applyUpdate(read.update!, before, KEYS).item!;
        assert.ok(
          areEqualItems(found, readItem(expected)),
          `${JSON.stringify(wireItem(found))} ${JSON.stringify(expected)}`,
        );
        assert.ok(areEqualItems(before, copy), 'the item before is as it was');
      }),
      { numRuns: 1500 },
    );
  });

  test('reads the item before', () => {
    assert.deepEqual(after('SET a = :v, b = a', { a: n(1) }, { ':v': n(2) }), { a: n(2), b: n(1) });
    assert.deepEqual(after('REMOVE a SET b = a', { a: n(1) }), { b: n(1) });
    assert.deepEqual(after('REMOVE l[0] SET l[2] = :v', { l: list(1, 2, 3) }, { ':v': n(9) }), { l: list(2, 9) });
    assert.deepEqual(after('SET a = b, b = a', { a: n(1), b: n(2) }), { a: n(2), b: n(1) });
  });

  test('computes', () => {
    const values = { ':n': n(3), ':l': list(9) };
    assert.deepEqual(after('SET a = a + :n', { a: n(1) }, { ':n': n(3) }), { a: n(4) });
    assert.deepEqual(after('SET a = (a - :n)', { a: n(1) }, { ':n': n(3) }), { a: n(-2) });
    assert.deepEqual(after('SET c = if_not_exists(c, :n) + :n, l = list_append(l, :l)', { l: list(1) }, values), {
      l: list(1, 9),
      c: n(6),
    });
    assert.deepEqual(after('SET c = if_not_exists(a, b)', { a: n(1) }), { a: n(1), c: n(1) });
    assert.deepEqual(after('SET c = (if_not_exists(x, :n)) - (:n)', {}, { ':n': n(3) }), { c: n(0) });
    assert.throws(() => after('SET a = a + :n', { a: { S: '1' } }, { ':n': n(3) }), /incorrect data type/);
    assert.throws(() => after('SET a = b', {}), /refers to an attribute that does not exist/);
    assert.throws(() => after('SET a = list_append(b, :l)', { b: n(1) }, { ':l': list() }), /incorrect data type/);
  });

  test('changes sets, and takes away what is empty', () => {
    const set = { ':s': { SS: ['b', 'c'] } };
    assert.deepEqual(after('ADD s :s', { s: { SS: ['a', 'b'] } }, set), { s: { SS: ['a', 'b', 'c'] } });
    assert.deepEqual(after('DELETE s :s', { s: { SS: ['a', 'b'] } }, set), { s: { SS: ['a'] } });
    assert.deepEqual(after('DELETE s :s', { s: { SS: ['b'] }, t: n(1) }, set), { t: n(1) });
    assert.deepEqual(after('DELETE s :s', { t: n(1) }, set), { t: n(1) });
    assert.throws(() => after('ADD s :s', { s: { NS: ['1'] } }, set), /incorrect data type/);
    assert.deepEqual(after('ADD n :n', {}, { ':n': n(2) }), { n: n(2) });
  });

  test('makes an item where there is none when it sets or adds, or says nothing', () => {
    assert.deepEqual(after('SET a = :v', undefined, { ':v': n(1) }), { p: { S: 'k' }, a: n(1) });
    assert.deepEqual(after('ADD a :v', undefined, { ':v': n(1) }), { p: { S: 'k' }, a: n(1) });
    assert.equal(after('REMOVE a, b.c', undefined), undefined);
    assert.equal(after('DELETE a :v', undefined, { ':v': { SS: ['a'] } }), undefined);
    assert.throws(() => after('SET a.b = :v', undefined, { ':v': n(1) }), /invalid for update/);
    const { update: nothing } = readExpressions({ AttributeUpdates: {} }, UPDATE);
    assert.deepEqual(plain(applyUpdate(nothing!, undefined, KEYS).item), { p: { S: 'k' } });
  });

  test('refuses paths through what is not there, also when it removes', () => {
    for (const text of ['REMOVE a.b', 'REMOVE a[0]', 'REMOVE m.x.y', 'REMOVE m[0]', 'REMOVE l.x'])
      assert.throws(() => after(text, { m: { M: {} }, l: list() }), /invalid for update/, text);
    assert.deepEqual(after('REMOVE m.x, l[7], z', { m: { M: {} }, l: list() }), { m: { M: {} }, l: list() });
  });

  test('says what the changed paths had and have: what is at them before and after', () => {
    const named = actions.filter(({ path }) => path.every((part) => typeof part === 'string'));
    /** Only what is at these paths, with the maps round it. */
    const at = (item: WireDocument, wanted: readonly Path[]): WireDocument => {
      const found = new Map<string, Wire>();
      for (const name of new Set(wanted.map(([first]) => first as string))) {
        const value = Object.hasOwn(item, name) ? item[name] : undefined;
        const inner = wanted.filter(([first]) => first === name).map((path) => path.slice(1));
        if (value === undefined) continue;
        if (inner.some((path) => path.length === 0)) found.set(name, value);
        else if (value.M !== undefined) {
          const within = at(value.M as WireDocument, inner);
          if (Object.keys(within).length > 0) found.set(name, { M: within });
        }
      }
      return Object.fromEntries(found);
    };
    fc.assert(
      fc.property(documents, fc.array(named, { minLength: 1, maxLength: 3 }), (item, wanted) => {
        fc.pre(
          wanted.every(({ path }, index) => wanted.slice(0, index).every((other) => areCompatible(other.path, path))),
        );
        const writer = new ExpressionWriter();
        const text = (['SET', 'ADD', 'REMOVE'] as const)
          .map((kind) => {
            const sign = kind === 'SET' ? '=' : ' ';
            const parts = wanted
              .filter((action) => action.kind === kind)
              .map(
                (action) => writer.path(action.path) + ('value' in action ? sign + writer.constant(action.value) : ''),
              );
            return parts.length === 0 ? '' : `${kind} ${parts.join(', ')}`;
          })
          .join(' ');
        const { update: tree } = readExpressions(
          {
            UpdateExpression: text,
            ExpressionAttributeNames: writer.names,
            ExpressionAttributeValues: Object.keys(writer.values).length === 0 ? undefined : writer.values,
          },
          UPDATE,
        );
        let updated: UpdatedItem;
        try {
          updated = applyUpdate(tree!, readItem(item), KEYS);
        } catch {
          return;
        }
        const touched = wanted.map(({ path }) => path);
        const now = (plain(updated.item) ?? {}) as WireDocument;
        assert.deepEqual(plain(updated.changedBefore) ?? {}, plain(readItem(at(item, touched))));
        assert.deepEqual(plain(updated.changedAfter) ?? {}, at(now, touched));
      }),
      { numRuns: 800 },
    );
  });

  test('says of elements of lists what the changed ones had and have', () => {
    const before = { a: { M: { x: n(1), y: n(2) } }, l: list(1, 2, 3, 4), s: { SS: ['a'] } };
    const values = { ':v': n(9), ':s': { SS: ['a'] } };
    const found = update('SET a.x = :v, l[3] = :v, l[9] = :v REMOVE l[1] DELETE s :s', before, values);
    assert.deepEqual(plain(found.changedBefore), { a: { M: { x: n(1) } }, l: list(2, 4), s: { SS: ['a'] } });
    assert.deepEqual(plain(found.changedAfter), { a: { M: { x: n(9) } }, l: list(9, 9) });
  });

  test('of the older kind adds behind lists and names its own mismatch', () => {
    const read = readExpressions(
      { AttributeUpdates: { l: { Action: 'ADD', Value: list(2) }, 'a.b': { Value: n(1) }, x: { Action: 'DELETE' } } },
      UPDATE,
    );
    const made = applyUpdate(read.update!, readItem({ l: list(1), x: n(1) }), KEYS).item;
    assert.deepEqual(plain(made), { l: list(1, 2), 'a.b': n(1) });
    assert.throws(
      () => applyUpdate(read.update!, readItem({ l: n(1) }), KEYS),
      /Type mismatch for attribute to update/,
    );
  });
});

describe('a projection', () => {
  const project = (text: string, item: WireDocument): unknown => {
    const { projection } = readExpressions({ ProjectionExpression: text }, GET);
    return plain(new ProjectedItems(projection!).of(readItem(item)));
  };

  test('keeps maps round what is asked, and closes lists up', () => {
    const item = { a: { M: { b: list(0, 1, 2, 3), c: n(1) } }, z: n(1) };
    assert.deepEqual(project('a.b[3], a.b[1], y', item), { a: { M: { b: list(1, 3) } } });
    assert.deepEqual(project('a.x, a.b[9], z.x', item), {});
    assert.deepEqual(project('z, a.c', item), { z: n(1), a: { M: { c: n(1) } } });
  });

  test('has exactly the paths that are there', () => {
    fc.assert(
      fc.property(documents, paths, (item, path) => {
        const writer = new ExpressionWriter();
        const members = { ProjectionExpression: writer.path(path), ExpressionAttributeNames: writer.names };
        const found = new ProjectedItems(readExpressions(members, GET).projection!).of(readItem(item));
        const value = lookUp(path, item);
        const compact = path.map((part) => (typeof part === 'number' ? 0 : part));
        const wire = lookUp(compact, wireItem(found) as WireDocument);
        if (value === undefined) assert.equal(found.size, 0);
        else assert.ok(areEqualItems(readItem({ x: value }), readItem({ x: wire! })));
      }),
      { numRuns: 500 },
    );
  });
});
