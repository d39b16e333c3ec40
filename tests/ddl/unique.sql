create table u01 (a int not null, b int not null, c int, unique key kb (b), unique key ka (a), key kc (c))//
create table u02 (a int unique, b int not null, c int not null, unique (a, b), unique k (c, b))//
create table u03 (a varchar(9) not null, unique (a(3)), b serial)//
create table u04 (a char(3) not null, unique (a(3)), b int)//
create table u05 (a int not null, unique ((a + 1)), key (a))//
create table u06 (a int not null, b int not null unique, unique (a), primary key (a, b))//
create table u07 like u01//
create table u08 (a int not null unique, b bigint serial default value)//
create table u09 (a binary(4) not null, b varbinary(9) not null, unique (b(9), a(4)), unique (a))//
create table u10 (a int not null unique, b int as (a + 1) virtual not null unique)//
create table u11 (b int as (1 + 1) virtual not null, a int not null, unique (b), unique (a))//
alter table u01 add d int not null first, add e int//
alter table u01 rename column b to bb//
alter table u01 modify c bigint, rename index ka to kz//
alter table u01 add unique (c)//
alter table u01 modify c int not null//
alter table u01 drop index kb//
alter table u01 drop column a//
alter table u01 add unique first (d), modify e int not null first//
alter table u01 add primary key (d)//
alter table u01 drop primary key//
alter table u06 drop primary key//
alter table u02 modify a int not null//
alter table u02 drop column b//
drop index k on u02//
create unique index i on u05 (a)//
create unique index j on u05 ((a + 2))//
alter table u07 change b `B` int null//
alter table u07 add f int unique not null//
alter table u04 convert to character set latin1//
alter table u08 drop column a//
