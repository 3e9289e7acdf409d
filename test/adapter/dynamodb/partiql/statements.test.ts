import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import {
  applyUpdate,
  type Condition,
  meets,
  ProjectedItems,
} from '../../../../src/adapter/dynamodb/expressions/index.ts';
import {
  keyOfWhere,
  parseStatement,
  type SelectStatement,
  type Statement,
  splitCondition,
  type UpdateStatement,
} from '../../../../src/adapter/dynamodb/partiql/index.ts';
import {
  type Item,
  readItem,
  readValue,
  type WireAttributeValue,
  wireItem,
} from '../../../../src/adapter/dynamodb/values/index.ts';

const SCHEMA = { hash: [{ name: 'p', type: 'S' as const }], range: [{ name: 'r', type: 'N' as const }] };

const parse = (text: string, ...parameters: WireAttributeValue[]): Statement =>
  parseStatement(
    text,
    parameters.map((wire) => readValue(wire)),
  );

const plain = (item: Item): unknown => JSON.parse(JSON.stringify(wireItem(item)));

const isKept = (
  where: string,
  item: Record<string, WireAttributeValue>,
  ...parameters: WireAttributeValue[]
): boolean => meets((parse(`SELECT * FROM t WHERE ${where}`, ...parameters) as SelectStatement).where!, readItem(item));

function updated(text: string, item: Record<string, WireAttributeValue>, ...parameters: WireAttributeValue[]): unknown {
  const { update } = parse(`UPDATE "t" ${text} WHERE p='k'`, ...parameters) as UpdateStatement;
  return plain(applyUpdate(update, readItem(item), new Map()).item!);
}

const refusal = (text: string, ...parameters: WireAttributeValue[]): string => {
  try {
    parse(text, ...parameters);
    return 'accepted';
  } catch (error) {
    assert.ok(error instanceof DynamoError, String(error));
    assert.equal(error.type, 'ValidationException');
    return error.message.replace("Statement wasn't well formed, can't be processed: ", '');
  }
};

describe('a statement', () => {
  test('selects', () => {
    const statement = parse('select a, "b"."c d"[0] from "my-table"."by.x" where x = ? order by "y" DESC;', { N: '1' });
    assert.ok(statement.kind === 'select');
    assert.deepEqual(
      [statement.table, statement.index, statement.order],
      ['my-table', 'by.x', { name: 'y', isDescending: true }],
    );
    const item = readItem({ a: { N: '1' }, b: { M: { 'c d': { L: [{ S: 'z' }] } } }, x: { N: '2' } });
    assert.deepEqual(plain(new ProjectedItems(statement.projection!).of(item)), {
      a: { N: '1' },
      b: { M: { 'c d': { L: [{ S: 'z' }] } } },
    });
    assert.deepEqual(parse('SELECT * FROM t'), {
      kind: 'select',
      table: 't',
      index: undefined,
      projection: undefined,
      where: undefined,
      order: undefined,
    });
  });

  test('has conditions', () => {
    const item = {
      a: { N: '5' },
      s: { S: "it's" },
      l: { L: [{ N: '1' }] },
      n: { NULL: true },
      set: { NS: ['1', '2'] },
    };
    for (const where of [
      'a = 5.0',
      'a <> 4 AND a != 6',
      '4 < a and a <= 5',
      'a BETWEEN 1 AND 5',
      'a IN [4, 5]',
      'a IN (5)',
      "s = 'it''s'",
      "begins_with(s, 'it')",
      "\"contains\"(s, 't''s')",
      'contains(set, 2)',
      'size(l) = 1',
      'l[0] = 1',
      "attribute_type(n, 'NULL')",
      'n IS NULL AND a IS NOT NULL',
      'x IS MISSING AND a IS NOT MISSING',
      'NOT a = 4 OR a = 7',
      'NOT (a = 5 OR a = 6) OR a = 5',
      'a = 5 OR a = 6 AND a = 7',
      'a NOT IN [1]',
      'set = <<2, 1>>',
      'l = [1]',
      '-5 < a -- and a comment',
    ])
      assert.ok(isKept(where, item), where);
    assert.ok(!isKept('a = 6 OR a = 5 AND a = 7', item));
    assert.ok(!isKept('s = ?', item, { S: 'other' }));
  });

  test('inserts', () => {
    const statement = parse(
      "INSERT INTO t value {'p': 'k', 'n': -1.50, 'l': [TRUE, null, {'x': <<'b', 'a'>>}], 'q': ?}",
      { B: 'AA==' },
    );
    assert.ok(statement.kind === 'insert');
    assert.deepEqual(plain(statement.item), {
      p: { S: 'k' },
      n: { N: '-1.5' },
      l: { L: [{ BOOL: true }, { NULL: true }, { M: { x: { SS: ['a', 'b'] } } }] },
      q: { B: 'AA==' },
    });
  });

  test('updates', () => {
    const item = { a: { N: '5' }, l: { L: [{ N: '1' }] }, s: { SS: ['x'] }, m: { M: { b: { N: '1' } } } };
    assert.deepEqual(updated('SET a = a + 1 SET b = a - ? REMOVE l, m.b', item, { N: '2' }), {
      a: { N: '6' },
      b: { N: '3' },
      s: { SS: ['x'] },
      m: { M: {} },
    });
    assert.deepEqual(
      updated("SET l = list_append(l, [2]), s = set_add(s, <<'y'>>) SET c = if_not_exists(c, 0) REMOVE a, m", item),
      { l: { L: [{ N: '1' }, { N: '2' }] }, s: { SS: ['x', 'y'] }, c: { N: '0' } },
    );
    assert.deepEqual(updated("SET s = set_delete(s, <<'x'>>) REMOVE a, l, m", item), {});
    const { returning } = parse("UPDATE t SET a = 1 WHERE p = 'x' RETURNING MODIFIED NEW *") as UpdateStatement;
    assert.deepEqual(returning, { which: 'MODIFIED', when: 'NEW' });
  });

  test('deletes, and asks whether something exists', () => {
    const statement = parse("DELETE FROM t WHERE p = 'x' AND r = 1 AND a > 2 RETURNING ALL OLD *");
    assert.ok(statement.kind === 'delete');
    const { key, rest } = keyOfWhere(statement.where, SCHEMA);
    assert.deepEqual(plain(key), { p: { S: 'x' }, r: { N: '1' } });
    assert.ok(meets(rest!, readItem({ a: { N: '3' } })));
    assert.equal(parse("EXISTS(SELECT * FROM t WHERE p = 'x' AND a = 1)").kind, 'exists');
  });

  test('is refused when it is none', () => {
    const cases: Readonly<Record<string, string>> = {
      '': 'Unexpected token: <EOF>',
      SELECT: 'Unexpected token: <EOF>',
      'SELECT * FROM t WHERE': 'Unexpected token: <EOF>',
      'SELECT * FROM t WHERE a': 'Unexpected token: <EOF>',
      'SELECT * FROM t extra': 'Unexpected token: extra',
      "SELECT * FROM t WHERE a = 'x": "Unexpected character: '",
      'SELECT * FROM t WHERE foo(a)': 'Unknown function: foo',
      'SELECT a, a.b FROM t':
        'Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]',
      'SELECT * FROM t WHERE a = ?': "Number of parameters in request and statement don't match.",
      "INSERT INTO t VALUE ['a']": 'INSERT takes one item in braces',
      "INSERT INTO t VALUE {'a': 1, 'a': 2}": 'Duplicate name: a',
      'INSERT INTO t VALUE {a: 1}': 'Expected a name in single quotes: a',
      "INSERT INTO t VALUE {'a': <<1, 'b'>>}": 'A set has members of one type: strings, numbers or binaries',
      "INSERT INTO t VALUE {'a': <<1, 1.0>>}":
        'One or more parameter values were invalid: Input collection contains duplicates.',
      'UPDATE t WHERE a = 1': 'Unexpected token: WHERE',
      'UPDATE t SET a = 1': 'Unexpected token: <EOF>',
      'UPDATE t SET a = 1 SET a = 2 WHERE p = 1':
        'Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]',
      'UPDATE t SET a = set_add(b, <<1>>) WHERE p = 1': 'set_add changes the set that is assigned to',
      'DELETE FROM t WHERE p = 1 RETURNING ALL NEW *': 'DELETE returns ALL OLD * or nothing',
      'SELECT * FROM t WHERE a = 1e999':
        'Number overflow. Attempting to store a number with magnitude larger than supported range',
    };
    for (const [text, problem] of Object.entries(cases)) assert.equal(refusal(text), problem, text);
    assert.equal(refusal('SELECT * FROM t', { N: '1' }), "Number of parameters in request and statement don't match.");
  });

  test('is read or refused, however deep it is and whatever its words are', () => {
    for (const part of ['(', '[', '{', "{'a':", '<<', 'NOT ', 'a.', 'a[0]', 'size(', 'a=1 AND ', 'a=1 OR (', '- '])
      for (const start of ['SELECT * FROM t WHERE ', 'INSERT INTO t VALUE ', 'UPDATE t SET a = '])
        refusal(start + part.repeat(8000 / part.length));
    assert.equal(refusal(`SELECT * FROM t WHERE a=1${' AND a=1'.repeat(1000)}`), 'accepted');
    const words = fc.constantFrom(
      ...[
        'SELECT',
        '*',
        'FROM',
        'WHERE',
        't',
        '"a"',
        'a',
        '=',
        '<',
        'AND',
        'OR',
        'NOT',
        '(',
        ')',
        '[',
        ']',
        '{',
        '}',
        ',',
      ],
      ...[
        '.',
        ':',
        '?',
        "'x'",
        '1',
        '<<',
        '>>',
        'IN',
        'BETWEEN',
        'IS',
        'MISSING',
        'NULL',
        'UPDATE',
        'SET',
        'REMOVE',
        '-',
      ],
      ...[
        'INSERT',
        'INTO',
        'VALUE',
        'DELETE',
        'RETURNING',
        'ALL',
        'OLD',
        'EXISTS',
        'size',
        'list_append',
        '"',
        '\u0000',
      ],
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 25 }), (parts) => {
        refusal(parts.join(' '), { N: '1' });
      }),
      { numRuns: 3000 },
    );
  });
});

describe('the condition of a statement', () => {
  const asked = (where: string): string[] | undefined => {
    const { where: condition } = parse(`SELECT * FROM t WHERE ${where}`) as SelectStatement;
    const { keyConditions } = splitCondition(condition!, SCHEMA);
    return keyConditions === undefined ? undefined : [...keyConditions].map(([name, { operator }]) => name + operator);
  };

  test('names a partition by equality, and rows of it by what the order can tell', () => {
    assert.deepEqual(asked("p = 'a'"), ['p=']);
    assert.deepEqual(asked("x = 1 AND (r > 1 AND 'a' = p)"), ['p=', 'r>']);
    assert.deepEqual(asked("p = 'a' AND r > 1 AND r < 5 AND r = 3"), ['p=', 'r=']);
    assert.deepEqual(asked("p = 'a' AND r BETWEEN 1 AND 2"), ['p=', 'rbetween']);
    assert.equal(asked("p = 'a' OR r = 1"), undefined);
    assert.equal(asked("p > 'a'"), undefined);
    assert.throws(
      () => keyOfWhere((parse("DELETE FROM t WHERE p = 'a' AND r > 1") as UpdateStatement).where, SCHEMA),
      /Where clause does not contain a mandatory equality on all key attributes/,
    );
  });

  test('holds exactly when its key part and what is left hold', () => {
    const leaves = fc.constantFrom(
      "p = 'a'",
      "'b' = p",
      'r = 1',
      'r > 0',
      '2 >= r',
      'r BETWEEN 0 AND 1',
      'x = 1',
      'x IS MISSING',
    );
    const texts = fc.letrec<{ where: string }>((tie) => ({
      where: fc.oneof(
        { maxDepth: 3 },
        leaves,
        fc.tuple(tie('where'), tie('where')).map(([a, b]) => `(${a} AND ${b})`),
        fc.tuple(tie('where'), tie('where')).map(([a, b]) => `(${a} OR ${b})`),
      ),
    })).where;
    const items = fc.record(
      { p: fc.constantFrom('a', 'b', 'c'), r: fc.constantFrom('0', '1', '2'), x: fc.constantFrom('1', '2') },
      { requiredKeys: ['p', 'r'] },
    );
    fc.assert(
      fc.property(texts, items, (text, { p, r, x }) => {
        const { where } = parse(`SELECT * FROM t WHERE ${text}`) as SelectStatement;
        const item = readItem({ p: { S: p }, r: { N: r }, ...(x === undefined ? {} : { x: { N: x } }) });
        const { keyConditions, rest } = splitCondition(where!, SCHEMA);
        const conditions = [...(keyConditions ?? [])].map(([name, { operator, values }]): Condition => {
          const operand = { kind: 'path', path: [name] } as const;
          const [first, second] = values.map((value) => ({ kind: 'value', value }) as const);
          if (operator === 'between') return { kind: operator, operand, low: first!, high: second! };
          assert.ok(operator !== 'begins_with');
          return { kind: 'compare', comparator: operator, left: operand, right: first! };
        });
        if (rest !== undefined) conditions.push(rest);
        assert.equal(
          conditions.every((condition) => meets(condition, item)),
          meets(where!, item),
        );
      }),
      { numRuns: 1000 },
    );
  });
});
