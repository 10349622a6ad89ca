"""The console's web pages: a view makes a context, its template makes HTML, and regions of it live.

Every page is whole without JavaScript: GET forms filter, POST forms act. Views read what the API
reads and tell what the API tells (`reading`, `shapes`, `saga_telling`, `surfaces`); they own no
rule and no number of their own.
"""
