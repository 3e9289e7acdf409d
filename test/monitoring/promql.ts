/**
 * Enough of PromQL to know whether an expression is one, and which series it asks for: operators, aggregations, functions,
 * selectors with matchers and ranges. It computes nothing.
 */

/** A selector of an expression. */
export interface Selector {
  readonly metric: string;
  /** Labels that its matchers name, with what they must equal where that is a plain `=`. */
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
  readonly isRange: boolean;
}

/** What an expression asks for. */
export interface Expression {
  readonly selectors: readonly Selector[];
  /** Labels that aggregations keep, each with the selectors that are aggregated. */
  readonly groupings: readonly { readonly label: string; readonly of: readonly Selector[] }[];
}

const AGGREGATIONS = new Set(['sum', 'min', 'max', 'avg', 'count', 'topk', 'bottomk', 'stddev']);
/** Functions that are used, and whether they take a range. */
const FUNCTIONS: ReadonlyMap<string, boolean> = new Map([
  ['rate', true],
  ['increase', true],
  ['irate', true],
  ['delta', true],
  ['max_over_time', true],
  ['histogram_quantile', false],
  ['time', false],
  ['abs', false],
  ['clamp_min', false],
  ['absent', false],
  ['label_values', false],
]);
const BINARY = new Set(['+', '-', '*', '/', '%', '==', '!=', '>', '<', '>=', '<=', 'and', 'or', 'unless']);
const TOKEN =
  /\s*(?:(?<number>\d+(?:\.\d+)?)(?![\w.])|(?<duration>\d+(?:ms|[smhdw])|\$__rate_interval)|(?<name>[a-zA-Z_:][\w:]*)|(?<text>"(?:[^"\\]|\\.)*")|(?<mark>==|!=|>=|<=|=~|!~|[-+*/%<>=(){}[\],]))/y;

interface Token {
  readonly kind: 'number' | 'duration' | 'name' | 'text' | 'mark' | 'end';
  readonly text: string;
}

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  const text = source.trimEnd();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new SyntaxError(`'${text.slice(at, at + 20)}' is no part of an expression`);
    const [kind, value] = Object.entries(match.groups!).find(([, part]) => part !== undefined)!;
    tokens.push({ kind: kind as Token['kind'], text: value! });
  }
  return tokens;
}

class Parser {
  readonly selectors: Selector[] = [];
  readonly groupings: { label: string; of: Selector[] }[] = [];
  private readonly tokens: readonly Token[];
  private at = 0;

  constructor(source: string) {
    this.tokens = tokensOf(source);
  }

  private get next(): Token {
    return this.tokens[this.at] ?? { kind: 'end', text: 'the end' };
  }

  private is(text: string): boolean {
    return this.next.kind !== 'text' && this.next.text === text;
  }

  private take(): Token {
    const token = this.next;
    this.at++;
    return token;
  }

  private expect(text: string): void {
    if (!this.is(text)) throw new SyntaxError(`'${text}' is expected, not '${this.next.text}'`);
    this.at++;
  }

  whole(): void {
    this.binary();
    if (this.next.kind !== 'end') throw new SyntaxError(`'${this.next.text}' comes after the end of the expression`);
  }

  private binary(): void {
    this.operand();
    while (BINARY.has(this.next.text) && this.next.kind !== 'text') {
      this.take();
      if (this.is('on') || this.is('ignoring')) {
        this.take();
        this.labels();
      }
      this.operand();
    }
  }

  private labels(): string[] {
    const labels: string[] = [];
    this.expect('(');
    while (!this.is(')')) {
      const label = this.take();
      if (label.kind !== 'name') throw new SyntaxError(`'${label.text}' is no label`);
      labels.push(label.text);
      if (!this.is(')')) this.expect(',');
    }
    this.expect(')');
    return labels;
  }

  private operand(): void {
    if (this.is('-')) this.take();
    const { kind, text } = this.next;
    if (kind === 'number') {
      this.take();
    } else if (this.is('(')) {
      this.take();
      this.binary();
      this.expect(')');
    } else if (kind === 'name' && AGGREGATIONS.has(text)) {
      this.aggregation();
    } else if (kind === 'name' && FUNCTIONS.has(text)) {
      this.call();
    } else if (kind === 'name' && this.tokens[this.at + 1]?.text === '(') {
      throw new SyntaxError(`there is no function ${text}`);
    } else if (kind === 'name') {
      this.selector();
    } else {
      throw new SyntaxError(`'${text}' is no operand`);
    }
  }

  private aggregation(): void {
    const name = this.take().text;
    const from = this.selectors.length;
    let kept: string[] = [];
    if (this.is('by')) {
      this.take();
      kept = this.labels();
    }
    this.expect('(');
    if (name === 'topk' || name === 'bottomk') {
      this.operand();
      this.expect(',');
    }
    this.binary();
    this.expect(')');
    const of = this.selectors.slice(from);
    for (const label of kept) this.groupings.push({ label, of });
  }

  private call(): void {
    const name = this.take().text;
    const from = this.selectors.length;
    this.expect('(');
    while (!this.is(')')) {
      this.binary();
      if (!this.is(')')) this.expect(',');
    }
    this.expect(')');
    const wantsRange = FUNCTIONS.get(name)!;
    if (wantsRange && !this.selectors.slice(from).every(({ isRange }) => isRange)) {
      throw new SyntaxError(`${name} is of a range, such as [5m]`);
    }
  }

  private selector(): void {
    const metric = this.take().text;
    const matchers: { label: string; operator: string; value: string }[] = [];
    if (this.is('{')) {
      this.take();
      while (!this.is('}')) {
        const [label, operator, value] = [this.take(), this.take(), this.take()];
        if (label.kind !== 'name' || !['=', '!=', '=~', '!~'].includes(operator.text) || value.kind !== 'text') {
          throw new SyntaxError(`'${label.text}${operator.text}${value.text}' matches no label`);
        }
        matchers.push({ label: label.text, operator: operator.text, value: JSON.parse(value.text) as string });
        if (!this.is('}')) this.expect(',');
      }
      this.expect('}');
    }
    const isRange = this.is('[');
    if (isRange) {
      this.take();
      if (this.take().kind !== 'duration') throw new SyntaxError('a range is a duration, such as 5m');
      this.expect(']');
    }
    this.selectors.push({ metric, matchers, isRange });
  }
}

/** Reads an expression. @throws SyntaxError */
export function parsePromQl(source: string): Expression {
  const parser = new Parser(source);
  parser.whole();
  return { selectors: parser.selectors, groupings: parser.groupings };
}
