// Gives classes with @json the methods that Json.to, state.set and emit call.
//
//     @json
//     class Account {
//       owner!: string;     // must be there
//       balance: i64 = 0;   // may be missing or null: then it stays what the class says
//     }
//
// becomes, as if it were written there,
//
//     readJson<J>(json: J): void {
//       this.owner = json.get("owner").to<string>();
//       if (!json.get("balance").absent) this.balance = json.get("balance").to<i64>();
//     }
//     writeJson<B>(text: B): void {
//       text.name("owner"); text.value<string>(this.owner);
//       text.name("balance"); text.value<i64>(this.balance);
//     }

// Of assemblyscript 0.28's NodeKind and CommonFlags.
const CLASS_DECLARATION = 52;
const FIELD_DECLARATION = 55;
const NAMESPACE_DECLARATION = 60;
const STATIC = 32;

export function addJsonMethods(parser) {
  for (const source of parser.sources.slice()) visit(parser, source.statements);
}

function visit(parser, nodes) {
  for (const node of nodes) {
    if (node.kind === NAMESPACE_DECLARATION) visit(parser, node.members);
    if (node.kind === CLASS_DECLARATION && node.decorators?.some((decorator) => decorator.name.text === "json"))
      node.members.push(...methods(parser, node));
  }
}

/** The two methods as nodes, which are made by parsing a class that has them. */
function methods(parser, node) {
  const fields = node.members.filter((member) => member.kind === FIELD_DECLARATION && !(member.flags & STATIC));
  const reads = [];
  const writes = [];
  for (const field of fields) {
    if (!field.type)
      throw new Error(`${node.name.text}.${field.name.text}: a field of a class with @json needs its type`);
    const { source, start, end } = field.type.range;
    const type = source.text.slice(start, end);
    const name = JSON.stringify(field.name.text);
    const mayBeMissing = field.initializer ? `if (!json.get(${name}).absent) ` : "";
    reads.push(`${mayBeMissing}this.${field.name.text} = json.get(${name}).to<${type}>();`);
    writes.push(`text.name(${name}); text.value<${type}>(this.${field.name.text});`);
  }
  const base = node.extendsType ? ["super.readJson<J>(json);", "super.writeJson<B>(text);"] : ["", ""];
  const text = `class Methods {
    readJson<J>(json: J): void { ${base[0]} ${reads.join(" ")} }
    writeJson<B>(text: B): void { ${base[1]} ${writes.join(" ")} }
  }`;
  const generated = new parser.constructor();
  generated.parseFile(text, node.range.source.normalizedPath, false);
  return generated.sources[0].statements[0].members;
}
