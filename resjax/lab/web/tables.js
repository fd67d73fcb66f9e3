// Tables of class "data" are sorted by a click on a heading, filtered by a word, and saved as csv.
"use strict";
for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, at) => row.cells[at].dataset.value ?? row.cells[at].textContent.trim();
  const compare = (a, b, sign) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // what is missing comes last, either way
    const [x, y] = [Number(a), Number(b)];
    return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y);
  };
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => compare(value(a, at), value(b, at), sign));
      body.replaceChildren(...rows);
    });
  });
  const tools = document.createElement("div");
  tools.className = "tools";
  const label = document.createElement("label");
  const filter = document.createElement("input");
  filter.type = "search";
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const row of body.rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  });
  label.append("rows with ", filter);
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const link = document.createElement("a");
  link.href = "#";
  link.textContent = "save as csv";
  link.download = `${table.dataset.name}.csv`;
  link.addEventListener("click", () => {
    const rows = [heads.map((head) => head.textContent.trim()),
      ...[...body.rows].filter((row) => !row.hidden).map((row) => heads.map((_, at) => value(row, at)))];
    const text = rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  });
  tools.append(label, link);
  table.closest(".wide").before(tools);
}
